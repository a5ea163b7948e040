"""Weights & Biases that never asks: online for whoever is logged in, offline for everyone else.

Lightning's own logger prompts for an account, or stops a job that has no terminal to be asked on.
"""

import configparser
import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch import loggers
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only, rank_zero_warn

from lit_attr._checks import one_of

_OVER_EPOCHS = ("val/", "test/", "explain/", "robust/")
_OFFLINE = {"offline", "dryrun"}
_MODES = ["online", "offline", "shared", "disabled", "dryrun", "run"]


class WandbLogger(loggers.WandbLogger):
    """Lightning's W&B logger, offline unless the user is logged in, and quiet.

    Online or offline is decided when the logger is made, without a question and without a connection: by the variable
    WANDB_MODE ("online", "offline", "disabled"), else by the `mode` that `wandb offline` has written, else by whether
    there is an API key (WANDB_API_KEY, or what `wandb login` has stored). One line on the console says where the run
    is, or how to upload it. The run itself is started by the first thing logged; wandb is imported only then.

    What is logged under `val/`, `test/`, `explain/` and `robust/` is drawn over epochs, all else over steps; the run's
    summary has the last, lowest and highest value of each.

    Args:
        project: the project's name.
        name: the run's name; None lets W&B invent one.
        save_dir: the folder of the local files; it is made where it is missing.
        version: the id of an earlier run to go on with.
        log_model: upload checkpoints: at the end (True), whenever one is written ("all"), or never. Turned off, with a
            warning, where the run is not online.
        entity: the user or team that the run belongs to; None for the user's default.
        group: the name under which runs are shown together.
        tags: labels of the run.

    Example:
        >>> logger = WandbLogger(project="digits", tags=["baseline"])
        >>> logger.name
        'digits'
    """

    def __init__(
        self,
        *,
        project: str = "lit_attr",
        name: str | None = None,
        save_dir: str | Path = "runs",
        version: str | None = None,
        log_model: Literal["all"] | bool = False,
        entity: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
    ) -> None:
        mode = _mode()
        if log_model and mode in {*_OFFLINE, "disabled"}:
            rank_zero_warn(
                f"W&B is {mode}: `log_model` is turned off, checkpoints stay on this machine."
                " `wandb login` or WANDB_MODE=online uploads them."
            )
            log_model = False
        super().__init__(
            name=name,
            save_dir=save_dir,
            version=version,
            project=project,
            log_model=log_model,
            entity=entity,
            group=group,
            tags=tags,
            # Not Lightning's `offline`: that sets WANDB_MODE for the whole process and all that it starts.
            mode=mode,
            settings={"silent": True},
        )
        self._defined: set[str] = set()
        # wandb 0.31 warns of this setting even where it is None, as Lightning 2.6 passes it.
        self._wandb_init.pop("anonymous", None)

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run, started at the first call; on other ranks than zero a dummy that swallows everything."""
        if self._experiment is None:
            # Without the folder, wandb would write to the system's temporary one.
            Path(str(self.save_dir)).mkdir(parents=True, exist_ok=True)
            mode = self._wandb_init["mode"]
            if mode in _OFFLINE:
                _keep_wandb_offline()
            run = super().experiment
            if mode in _OFFLINE:
                rank_zero_info(f"W&B is offline; `wandb sync {Path(run.dir).parent}` uploads this run.")
            elif mode != "disabled":
                rank_zero_info(f"W&B run: {run.url}")
        return self._experiment

    def go_on(self, run_id: str) -> None:
        """Go on with an earlier run instead of a new one.

        Args:
            run_id: of the earlier run.

        Raises:
            RuntimeError: where the logger's own run is started.
        """
        if self._experiment is not None:
            msg = f"the run {self.version} is started; give the id of an earlier one before anything is logged"
            raise RuntimeError(msg)
        self._id = self._wandb_init["id"] = run_id  # and Lightning says "allow" to `resume`

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log values; of each new name the axis and the summary are defined first.

        By its whole name: a pattern such as "val/*" would change the summaries of pictures and tables as well, which
        W&B can then no longer show.
        """
        for name, value in metrics.items():
            if name.startswith(_OVER_EPOCHS) and name not in self._defined and isinstance(value, int | float):
                self.experiment.define_metric(name, step_metric="epoch", step_sync=True, summary="last,min,max")
                self._defined.add(name)
        super().log_metrics(metrics, step)


def _keep_wandb_offline() -> None:
    """Make wandb as a whole offline: its usage statistics do not ask the mode of the run.

    With wandb 0.31, a run that alone is offline still ends with a request to the server, and where that cannot be
    reached the process hangs for ten seconds.
    """
    import wandb

    wandb.setup(wandb.Settings(mode="offline"))


def _mode() -> str:
    """The mode the user has asked for, else "online" where there is a key and "offline" where there is none."""
    written = _settings()
    named = os.environ.get("WANDB_MODE")
    if named is not None:
        one_of("WANDB_MODE", named, _MODES)  # wandb itself stops over it much later, as an error in its settings
    asked = named or written.get("mode")
    return asked or ("online" if _has_key(written) else "offline")


def _settings() -> dict[str, str]:
    """What `wandb login` and `wandb offline` have written for the user and for this folder."""
    parser = configparser.ConfigParser(interpolation=None)
    folder = Path(os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb").expanduser()
    try:
        parser.read([folder / "settings", Path("wandb", "settings")])
    except configparser.Error:  # wandb itself treats an unreadable file as an empty one
        return {}
    return dict(parser["default"]) if parser.has_section("default") else {}


def _has_key(written: dict[str, str]) -> bool:
    """Whether wandb would find credentials; looked up as wandb does, whose own functions may prompt or connect."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE") or written.get("api_key"):
        return True
    server = os.environ.get("WANDB_BASE_URL") or written.get("base_url") or "https://api.wandb.ai"
    named = os.environ.get("NETRC")
    for path in [named] if named else ["~/.netrc", "~/_netrc"]:
        try:
            found = netrc.netrc(Path(path).expanduser()).authenticators(urlsplit(server).netloc)
        except (OSError, netrc.NetrcParseError):
            continue
        if found and found[2]:
            return True
    return False
