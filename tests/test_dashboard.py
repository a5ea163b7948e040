"""The workspace as code: what it shows, without a server; what is saved where."""

import re
import sys

import pytest
import wandb

from lit_attr import dashboard
from lit_attr._checks import ArgumentError
from lit_attr.cli import main

workspaces = pytest.importorskip("wandb_workspaces.workspaces", reason="needs the extra `dashboards`")
internal = pytest.importorskip("wandb_workspaces.workspaces.internal", reason="needs the extra `dashboards`")

# A name of each kind that a run logs, and the section that shows it.
LOGGED = {
    "train/loss": "Training",
    "val/accuracy": "Training",
    "lr-AdamW": "Training",
    "explain/ig/insertion": "Explanation faithfulness",
    "explain/grad_cam/gap": "Explanation faithfulness",
    "explain/ig/gap/below_0.7": "Explanation faithfulness",
    "robust/clean": "Robustness",
    "robust/pgd/8_255": "Robustness",
    "robust/gaussian/0.1": "Robustness",
    "robust/pgd/spearman": "Robustness",
    "train/sigma/variants": "SIGMA bank",
    "train/sigma/reached": "SIGMA bank",
    "train/sigma/l2": "SIGMA bank",
    "val/miou": "Segmentation",
    "val/iou/cat": "Segmentation",
}


def shows(panel, name):
    pattern = getattr(panel, "metric_regex", None)
    names = [getattr(y, "name", y) for y in getattr(panel, "y", None) or []]
    return name in names or bool(pattern and re.search(pattern, name))


def test_sections():
    built = dashboard.build_workspace("me", "digits")
    names = [section.name for section in built.sections]
    assert names == ["Training", "Explanation faithfulness", "Robustness", "SIGMA bank", "Segmentation"]
    assert (built.entity, built.project, built.name) == ("me", "digits", "lit_attr")
    assert all(section.panels for section in built.sections)


@pytest.mark.parametrize("name", LOGGED)
def test_what_is_logged_is_shown(name):
    built = dashboard.build_workspace("me", "digits")
    assert LOGGED[name] in [s.name for s in built.sections if any(shows(panel, name) for panel in s.panels)]


def test_it_can_be_sent():
    """What goes to the server is built without one."""
    text = dashboard.build_workspace("me", "digits")._to_model().spec.model_dump_json(by_alias=True)
    for part in ("explain/panels", "robust/table", "Segmentation", "sigma_variants"):
        assert part in text


@pytest.fixture
def server(monkeypatch):
    """Workspaces by address, and what was saved."""
    found, saved = {}, []

    def from_url(url):
        if url not in found:
            raise ValueError("Workspace `nw-gone-v` not found in project `digits`")
        return found[url]

    monkeypatch.setattr(workspaces.Workspace, "from_url", staticmethod(from_url))
    monkeypatch.setattr(workspaces.Workspace, "save", lambda self: saved.append(self))  # noqa: PLW0108 - a bound method would not get the workspace
    monkeypatch.setattr(workspaces.Workspace, "url", "https://here")
    return found, saved


def test_the_first_time_it_is_made_under_a_name_that_is_found_again(server, capsys):
    _, saved = server
    main(["dashboard", "--entity", "me", "--project", "digits"])
    assert capsys.readouterr().out == "Dashboard: https://here\n"
    (made,) = saved
    assert made._to_model().name == "nw-litattr-v"


@pytest.mark.parametrize("answer", [{"project": None}, ConnectionError("no route"), wandb.Error("not logged in")])
def test_an_answer_that_is_not_that_there_is_none_makes_none(monkeypatch, answer):
    """By what the package itself says of an answer: an old workspace may be there, and is not to be written over."""
    saved = []

    def asked(*_, **__):
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(internal, "execute_graphql", asked)
    monkeypatch.setattr(internal.wandb, "Api", lambda: None)
    monkeypatch.setattr(workspaces.Workspace, "save", saved.append)
    with pytest.raises(SystemExit, match=r"error: (Project `me/digits` not found|no route|not logged in)"):
        main(["dashboard", "--entity", "me", "--project", "digits"])
    assert not saved


def test_an_answer_without_a_workspace_makes_one(monkeypatch):
    saved = []
    monkeypatch.setattr(internal, "execute_graphql", lambda *_, **__: {"project": {"allViews": {"edges": []}}})
    monkeypatch.setattr(internal.wandb, "Api", lambda: None)
    monkeypatch.setattr(workspaces.Workspace, "save", lambda self: saved.append(self))  # noqa: PLW0108 - as above
    monkeypatch.setattr(workspaces.Workspace, "url", "https://here")
    assert dashboard.save_workspace("me", "digits") == "https://here"
    assert len(saved) == 1


def test_later_it_is_changed_and_other_sections_stay(server):
    found, saved = server
    old = workspaces.Workspace(
        entity="me", project="digits", sections=[workspaces.Section(name=n) for n in ("Training", "Mine")]
    )
    found["https://wandb.ai/me/digits?nw=litattr"] = old
    assert dashboard.save_workspace("me", "digits", "new name") == "https://here"
    assert saved == [old]
    assert [section.name for section in old.sections][-2:] == ["Segmentation", "Mine"]
    assert [section.name for section in old.sections].count("Training") == 1
    assert old.name == "new name"


def test_the_one_at_an_address(server):
    found, _ = server
    with pytest.raises(ValueError, match="not found in project"):
        dashboard.save_workspace("me", "digits", url="https://gone")
    found["https://there"] = workspaces.Workspace(entity="me", project="other")
    with pytest.raises(ArgumentError, match="of a workspace in me/digits"):
        dashboard.save_workspace("me", "digits", url="https://there")


def test_refusals(capsys):
    with pytest.raises(ArgumentError, match="`entity` must be a name in W&B"):
        dashboard.build_workspace("", "p")
    with pytest.raises(SystemExit, match="error: `project` must be a name in W&B"):
        main(["dashboard", "--entity", "me", "--project", ""])


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports.v2", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'lit_attr\[dashboards\]'"):
        dashboard.build_workspace("me", "p")
