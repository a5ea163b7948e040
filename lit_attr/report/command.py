"""`lit-attr report FOLDER`: the page of a run that could not write it itself."""

import argparse
import sys

from lit_attr.report.page import write_report

__all__ = ["main"]


def main(args: list[str] | None = None) -> None:
    """Write `report.html` into each folder and print its path."""
    parser = argparse.ArgumentParser(prog="lit-attr report", description="Write report.html into the folder of a run.")
    parser.add_argument("folder", nargs="+", help="of a run, such as runs/lit_attr/version_0")
    for folder in parser.parse_args(args).folder:
        try:
            print(write_report(folder))
        except OSError as error:
            sys.exit(f"error: {error}")
