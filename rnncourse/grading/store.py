"""The grades that are done, in SQLite, so that an interrupted run loses none."""

import hashlib
import json
import secrets
import sqlite3

TABLES = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS grades (
    student TEXT NOT NULL, topic TEXT NOT NULL, key TEXT NOT NULL, result TEXT NOT NULL,
    PRIMARY KEY (student, topic)
);
"""


class Store:
    """Grades by student and topic, each with the key of what it was made from."""

    def __init__(self, path):
        self.database = sqlite3.connect(path, timeout=30)
        try:
            self.database.execute("PRAGMA journal_mode=WAL")
            self.database.executescript(TABLES)
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{path} is not a file of grades: {error}") from None

    def seed(self, asked=None):
        """The seed of this class's grading: the one asked for, else that of the last run, else a new one."""
        row = self.database.execute("SELECT value FROM settings WHERE name = 'seed'").fetchone()
        seed = asked if asked is not None else int(row[0]) if row else secrets.randbelow(2**31)
        with self.database:
            self.database.execute("INSERT OR REPLACE INTO settings VALUES ('seed', ?)", (str(seed),))
        return seed

    def get(self, student, topic, key):
        """The grade, if it was made from the same, else None."""
        row = self.database.execute(
            "SELECT result FROM grades WHERE student = ? AND topic = ? AND key = ?", (student, topic, key)
        ).fetchone()
        return json.loads(row[0]) if row else None

    def put(self, student, topic, key, result):
        """Keep a grade; it replaces an older one of the same student and topic."""
        with self.database:
            self.database.execute(
                "INSERT OR REPLACE INTO grades VALUES (?, ?, ?, ?)", (student, topic, key, json.dumps(result))
            )

    def close(self):
        """Close the file."""
        self.database.close()


def key(data, *others):
    """A hash of a notebook's bytes and of all else that decides its grade."""
    whole = hashlib.sha256(data)
    whole.update(json.dumps(others, sort_keys=True).encode())
    return whole.hexdigest()
