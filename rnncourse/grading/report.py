"""What comes out: grades.csv, results.json, a page for each student, the texts to be marked by hand.

Everything that a student wrote is escaped.
"""

import csv
import html
import io
import json
import os
import re
from pathlib import Path

OUTCOMES = {
    "passed": "right",
    "partly": "partly right",
    "wrong": "wrong",
    "error": "error",
    "time": "out of time",
    "crashed": "crashed",
    "missing": "missing",
    "not attempted": "not attempted",
}
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title><style>{style}</style></head>
<body>{body}</body></html>
"""
STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid #8886; }
td.points { white-space: nowrap; text-align: right; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid #8886; padding: .6rem; }
"""


def write(out, graded, ignored, names, settings):
    """Write all reports below the folder `out`, each file whole or not at all.

    Parameters
    ----------
    out : pathlib.Path
    graded : list of (Submission, dict)
    ignored : list of (path, reason)
    names : dict or None
        Name by student, from the roster; who is not in it is said so.
    settings : dict
        Seed, limits and versions, for results.json.
    """
    out = Path(out)
    graded = [
        (s, _with_notes(s, result, names)) for s, result in sorted(graded, key=lambda pair: pair[0][:2])
    ]
    _write(out / "grades.csv", grades(graded, names or {}))
    content = {
        "settings": settings,
        "submissions": [
            {"student": s.student, "topic": s.topic, "file": s.path and s.path.name} | result
            for s, result in graded
        ],
        "ignored": [{"file": str(path), "reason": reason} for path, reason in ignored],
    }
    _write(out / "results.json", json.dumps(content, indent=1) + "\n")
    taken = {}
    for submission, result in graded:
        if submission.path is None:
            continue
        folder = out / "feedback" / _file_name(submission.student, taken)
        _write(folder / f"{submission.topic}.md", feedback_markdown(submission, result))
        _write(folder / f"{submission.topic}.html", feedback_html(submission, result))
    _write(out / "manual.html", manual(graded))


def _with_notes(submission, result, names):
    said = [submission.note] if submission.note else []
    if names is not None and submission.student not in names:
        said.append("not in the roster")
    return result | {"message": "; ".join([*said, *filter(None, [result["message"]])])}


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf8", errors="backslashreplace", newline="")
    os.replace(temporary, path)


def _file_name(student, taken):
    """A folder's name for a student, never two the same and never one that leads elsewhere."""
    name = re.sub(r"[^\w@.+ -]", "_", student)[:60].strip(". ") or "_"
    while taken.setdefault(name.lower(), student) != student:
        name += "_"
    return name


def grades(graded, names):
    """The text of grades.csv."""
    questions = sorted({q["number"] for _, result in graded for q in result["questions"]}, key=_in_order)
    file = io.StringIO()
    table = csv.writer(file)
    columns = [
        "student",
        *(["name"] if any(names.values()) else []),
        "topic",
        "status",
        "message",
        *questions,
    ]
    table.writerow([*columns, "total", "of", "manual", "seconds"])
    for submission, result in graded:
        points = {q["number"]: _number(q["points"]) for q in result["questions"]}
        row = {
            "student": submission.student,
            "name": names.get(submission.student, ""),
            "topic": submission.topic,
            "status": result["status"],
            "message": result["message"],
        } | points
        by_hand = sum(m["of"] for m in result["manual"])
        end = [_number(result["total"]), _number(result["of"]), _number(by_hand), f"{result['seconds']:.2f}"]
        table.writerow([*(_cell(row.get(column, "")) for column in columns), *end])
    return file.getvalue()


def _in_order(number):
    return int(number[1:]) if number[1:].isdigit() else 0


def _number(points):
    return "" if points is None else f"{points:g}"


def _cell(text):
    """A cell that no spreadsheet takes for a formula."""
    text = " ".join(str(text).split())
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")) else text


def _heading(submission, result):
    if result["total"] is None:
        return f"No grade: {result['status']}"
    return f"{_number(result['total'])} of {_number(result['of'])} points"


def _remarks(result):
    remarks = (
        [f"Status: {result['status']}. {result['message']}".strip()] if result["status"] != "graded" else []
    )
    return remarks + result["notes"]


def feedback_html(submission, result):
    """One student's page on one topic."""
    e = html.escape
    rows = "".join(
        f"<tr><td>{e(q['number'])}</td><td>{e(q['title'])}<br>{e(q['message'])}</td>"
        f"<td>{e(OUTCOMES[q['outcome']])}</td>"
        f"<td class=points>{_number(q['points'])} of {_number(q['of'])}</td></tr>"
        for q in result["questions"]
    )
    rows += "".join(
        f"<tr><td>{e(m['number'])}</td><td>{e(m['title'])}</td><td>marked by hand{_state(m)}</td>"
        f"<td class=points>of {_number(m['of'])}</td></tr>"
        for m in result["manual"]
    )
    remarks = "".join(f"<p>{e(remark)}</p>" for remark in _remarks(result))
    table = (
        f"<table><tr><th>Question</th><th></th><th>Result</th><th>Points</th></tr>{rows}</table>"
        if rows
        else ""
    )
    title = e(f"{submission.student}: {submission.topic}")
    return _page(title, f"<h1>{title}</h1><p><b>{e(_heading(submission, result))}</b></p>{remarks}{table}")


def _state(manual):
    return {"answered": "", "empty": " (left empty)", "missing": " (cell missing)"}[manual["state"]]


def _page(title, body):
    return PAGE.format(title=title, style=STYLE, body=body)


def feedback_markdown(submission, result):
    """The same page in Markdown."""
    m = _markdown
    lines = [
        f"# {m(submission.student)}: {m(submission.topic)}",
        "",
        f"**{m(_heading(submission, result))}**",
        "",
    ]
    for remark in _remarks(result):
        lines += [m(remark), ""]
    for q in result["questions"]:
        points = f"{_number(q['points'])} of {_number(q['of'])}"
        lines += [
            f"## {m(q['number'])}: {m(q['title'])}",
            "",
            f"{OUTCOMES[q['outcome']]}, {points} points",
            "",
        ]
        if q["message"]:
            lines += [m(q["message"]), ""]
    for q in result["manual"]:
        lines += [
            f"## {m(q['number'])}: {m(q['title'])}",
            "",
            f"{_number(q['of'])} points, by hand{_state(q)}",
            "",
        ]
    return "\n".join(lines)


def _markdown(text):
    text = " ".join(str(text).split())
    return re.sub(r"([\\`*_{}\[\]()#+!|<>~&$^-])", r"\\\1", text)


def manual(graded):
    """The texts that are marked by hand, question by question."""
    e, parts = html.escape, []
    asked = {}
    for submission, result in graded:
        for q in result["manual"]:
            asked.setdefault((submission.topic, q["number"], q["title"], q["of"]), []).append((submission, q))
    for (topic, number, title, of), answers in sorted(asked.items()):
        parts.append(f"<h2>{e(topic)}, {e(number)}: {e(title)} ({_number(of)} points)</h2>")
        for submission, q in answers:
            text = (
                f"<pre>{e(q['text'])}</pre>"
                if q["state"] == "answered"
                else f"<p>{_state(q).strip(' ()')}</p>"
            )
            parts.append(f"<h3>{e(submission.student)}</h3>{text}")
    body = "".join(parts) or "<p>nothing</p>"
    return _page("To be marked by hand", f"<h1>To be marked by hand</h1>{body}")
