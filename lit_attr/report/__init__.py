"""One page of a run, made from the files in its folder: also of a run that was interrupted."""

from lit_attr.report.page import report_page, write_report
from lit_attr.report.record import Record

__all__ = ["Record", "report_page", "write_report"]
