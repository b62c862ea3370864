"""A finished evaluation or segmentation -> report.html, one file that needs no network.

what a run knows and what lies beside its masks -> dictionaries -> page.html (Jinja2), with page.css and page.js put into it
"""

from .report_page import ReportPage

__all__ = ["ReportPage"]
