"""The paper's table: results beside printed scores, as Markdown, HTML, LaTeX, CSV and JSON."""
