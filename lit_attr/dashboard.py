"""A W&B workspace as code: `lit-attr dashboard --entity E --project P` makes it, or brings it up to date.

The package that speaks with W&B's workspaces comes with the extra `dashboards`; it is imported on use.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any

from lit_attr._checks import ArgumentError

__all__ = ["build_workspace", "main", "save_workspace"]

_VIEW = "nw-litattr-v"  # of the workspace in its project, so that it is found again
_FIRST = "lit_attr"
_HEADS = ("accuracy", "auroc", "calibration_error")
_CURVES = ("insertion", "deletion", "gap")
_BANK = {
    "variants": "variants that join",
    "reached": "share of walks that reached epsilon",
    "l2": "distance of variants from their sources",
}


def build_workspace(entity: str, project: str, name: str = _FIRST) -> Any:
    """The workspace, not saved yet: sections of panels for what lit_attr logs; all else gets panels by itself.

    Args:
        entity: the user or team.
        project: the project, as the logger has it.
        name: what the workspace is called.

    Returns:
        A `wandb_workspaces.workspaces.Workspace`.

    Raises:
        ArgumentError: for an empty entity or project.
        ModuleNotFoundError: without the extra `dashboards`.
    """
    for argument, value in (("entity", entity), ("project", project)):
        if not value:
            raise ArgumentError(argument, value, "a name in W&B")
    workspaces, _ = _packages()
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[
            _section("Training", _training(), is_open=True),
            _section("Explanation faithfulness", _explanations(), is_open=True),
            _section("Robustness", _robustness()),
            _section("SIGMA bank", _sigma()),
            _section("Segmentation", _segmentation()),
        ],
        settings=workspaces.WorkspaceSettings(x_axis="Step", group_by_prefix="first", max_runs=20),
        auto_generate_panels=True,
    )


def save_workspace(entity: str, project: str, name: str = _FIRST, url: str | None = None) -> str:
    """Save the workspace in W&B: an earlier one of ours, or the one at `url`, is brought up to date, else it is new.

    What was added by hand in sections of other names is kept.

    Args:
        entity: the user or team.
        project: the project.
        name: what it is called.
        url: of a saved workspace of the project.

    Returns:
        Its address.

    Raises:
        ArgumentError: for an address of another project.
        ModuleNotFoundError: without the extra `dashboards`.
        ValueError: where there is no such project, or no workspace at `url`.
        Exception: of W&B's client, where nobody is logged in, or the server cannot be reached or refuses.
    """
    new = build_workspace(entity, project, name)
    workspaces, _ = _packages()
    try:
        found = workspaces.Workspace.from_url(url or f"https://wandb.ai/{entity}/{project}?nw={_VIEW[3:-2]}")
    except ValueError as error:  # the package's only sign of it, as of a project that is not there
        if url is not None or not re.match("Workspace .* not found", str(error)):
            raise
        new._internal_name = _VIEW  # the package would draw one by chance, and make another workspace every time
        new.save()
        return str(new.url)
    if (found.entity, found.project) != (entity, project):
        raise ArgumentError("url", url, f"of a workspace in {entity}/{project}")
    ours = {section.name for section in new.sections}
    found.name = name
    found.sections = [*new.sections, *(section for section in found.sections if section.name not in ours)]
    found.save()
    return str(found.url)


def main(args: Sequence[str] | None = None) -> None:
    """The command `dashboard`."""
    told = "Make the W&B workspace of a project, or bring it up to date."
    parser = argparse.ArgumentParser(prog="lit-attr dashboard", description=told)
    parser.add_argument("--entity", required=True, help="the user or team")
    parser.add_argument("--project", default="lit_attr", help="the project, as the logger has it")
    parser.add_argument("--name", default=_FIRST, help="what the workspace is called")
    parser.add_argument("--url", help="of a saved workspace, which is changed instead of ours")
    given = parser.parse_args(args)
    try:
        print(f"Dashboard: {save_workspace(**vars(given))}")
    except Exception as error:
        of_theirs = type(error).__module__.partition(".")[0] in {"wandb", "wandb_workspaces"}  # no login, no connection
        if not of_theirs and not isinstance(error, ValueError | OSError | ImportError):
            raise
        sys.exit(f"error: {error}")


def _packages() -> tuple[Any, Any]:
    try:
        import wandb_workspaces.reports.v2 as panels
        from wandb_workspaces import workspaces
    except ModuleNotFoundError as error:
        msg = "the dashboard needs wandb-workspaces: pip install 'lit_attr[dashboards]'"
        raise ModuleNotFoundError(msg) from error
    return workspaces, panels


def _section(name: str, panels: list[Any], *, is_open: bool = False) -> Any:
    workspaces, _ = _packages()
    rows = min(4, -(-len(panels) // 3))
    layout = workspaces.SectionLayoutSettings(columns=3, rows=max(1, rows))
    return workspaces.Section(name=name, panels=panels, is_open=is_open, layout_settings=layout)


def _lines(title: str, *names: str, pattern: str | None = None, x: str = "epoch", **settings: Any) -> Any:
    """A plot of names, or of all that a pattern finds."""
    _, panels = _packages()
    found = {"y": list(names)} if pattern is None else {"metric_regex": pattern}
    return panels.LinePlot(title=title, x=x, **found, **settings)


def _media(title: str, *keys: str) -> Any:
    _, panels = _packages()
    return panels.MediaBrowser(title=title, media_keys=list(keys), mode="gallery", gallery_axis="step")


def _table(name: str) -> Any:
    _, panels = _packages()
    return panels.WeavePanelSummaryTable(table_name=name)


def _training() -> list[Any]:
    _, panels = _packages()
    scalars = [panels.ScalarChart(title=f"{name}, last", metric=f"val/{name}") for name in _HEADS[:1]]
    lines = [_lines(name, f"val/{name}", f"test/{name}") for name in _HEADS]
    return [
        _lines("loss", "train/loss", "val/loss", x="Step"),
        *lines,
        *scalars,
        _lines("rate", pattern="^lr-.*", x="Step"),
    ]


def _explanations() -> list[Any]:
    lines = [_lines(name, pattern=f"^explain/[^/]+/{name}$") for name in _CURVES]
    groups = _lines("gap by confidence", pattern="^explain/[^/]+/gap/.*")
    return [
        *lines,
        groups,
        _media("panels", "explain/panels"),
        _media("scores", "explain/scores"),
        _table("explain/samples"),
    ]


def _robustness() -> list[Any]:
    return [
        _lines("accuracy: clean, worst case, corruptions", "robust/clean", "robust/worst_case", "robust/corruptions"),
        _lines("accuracy by strength", pattern=r"^robust/[^/]+/[0-9_.]+$"),
        _lines("fooled", pattern="^robust/[^/]+/success$"),
        _lines("area under the curve", pattern="^robust/[^/]+/auc$"),
        _lines("explanations before and after", pattern="^robust/[^/]+/(spearman|topk|ssim)$"),
        _media("curves", "robust/curves"),
        _media("panels", "robust/panels"),
        _table("robust/table"),
    ]


def _sigma() -> list[Any]:
    """Trainings with variants beside those without: `SIGMARefresh` tells the run's config how many there are."""
    _, panels = _packages()
    beside = {"groupby": panels.Config("sigma_variants"), "groupby_aggfunc": "mean"}
    lines = [_lines(f"{name}, by variants", f"val/{name}", **beside) for name in ("accuracy", "calibration_error")]
    gaps = _lines("gap, by variants", pattern="^explain/[^/]+/gap$", **beside)
    bank = [_lines(told, f"train/sigma/{name}") for name, told in _BANK.items()]
    return [*lines, gaps, *bank]


def _segmentation() -> list[Any]:
    return [
        _lines("mean IoU", "val/miou", "test/miou"),
        _lines("pixel accuracy", "val/pixel_accuracy", "test/pixel_accuracy"),
        _lines("IoU of classes", pattern="^val/iou/.*"),
        _lines("regions", pattern="^explain/[^/]+/(region_|target_|off_target|leakage).*"),
        _media("regions", "explain/regions"),
    ]
