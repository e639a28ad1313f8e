"""The figures of the book's first page."""
