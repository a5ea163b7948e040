"""The generator of AdvGAN, and its file."""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from lit_attr._checks import ArgumentError, not_negative, positive_int

__all__ = ["Generator", "load_generator", "save_generator"]

_VERSION = "1"  # of the network below: a file of another one has other weights


class _Residual(nn.Module):
    """Two 3x3 convolutions and what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_layer(nn.Conv2d(channels, channels, 3, padding=1, bias=False)),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x + self.body(x)
        return found


class Generator(nn.Module):
    """From images to their perturbations, G(x) = eps * tanh(decode(encode(x))): inside the ball by construction.

    Paper: Xiao et al., "Generating Adversarial Examples with Adversarial Networks", 2018. An encoder of 8, 16 and 32
    channels, four residual blocks and a decoder, as in common code. Deviations: the size of the output is that of the
    input for every size (the input is padded by its border, the output cropped), instance norm throughout, so that a
    perturbation does not depend on the other images of a batch, and no clamp, behind which there is no gradient.

    Args:
        channels: of the images.
        eps: the largest change of a value, in units of images in [0, 1].

    Attributes:
        batches_seen: on how many batches it was trained; `AdvGANModule` counts, other loops have to.

    Raises:
        ValueError: for a number out of range.

    Example:
        >>> generator = Generator(channels=3, eps=8 / 255)
        >>> generator(torch.rand(2, 3, 30, 45)).shape
        torch.Size([2, 3, 30, 45])
    """

    batches_seen: Tensor

    def __init__(self, channels: int = 3, eps: float = 8 / 255) -> None:
        super().__init__()
        positive_int("channels", channels)
        not_negative("eps", eps)
        self.channels, self.eps = channels, float(eps)
        self.encoder = nn.Sequential(
            *_layer(nn.Conv2d(channels, 8, 3, padding=1, bias=False)),
            *_layer(nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False)),
            *_layer(nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False)),
        )
        self.blocks = nn.Sequential(*(_Residual(32) for _ in range(4)))
        self.decoder = nn.Sequential(
            *_layer(nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1, output_padding=1, bias=False)),
            *_layer(nn.ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1, bias=False)),
            nn.Conv2d(8, channels, 3, padding=1),
        )
        self.register_buffer("batches_seen", torch.zeros((), dtype=torch.long))

    def forward(self, images: Tensor) -> Tensor:
        """The perturbations of images `[B, C, H, W]` in [0, 1], of their shape and type, in [-eps, eps].

        Raises:
            ValueError: for what is no batch of images of `channels` channels.
        """
        if images.dim() != 4 or images.shape[1] != self.channels:
            accepted = f"[B, {self.channels}, H, W], as the generator was trained for"
            raise ArgumentError("images", f"shape {tuple(images.shape)}", accepted)
        height, width = images.shape[2:]
        padded = F.pad(images, (0, _missing(width), 0, _missing(height)), mode="replicate")
        found: Tensor = self.decoder(self.blocks(self.encoder(padded)))
        return (self.eps * found[:, :, :height, :width].float().tanh()).to(images.dtype)

    def attack(self, images: Tensor) -> Tensor:
        """The adversarial images, x' = clip(x + G(x), 0, 1), `[B, C, H, W]`."""
        perturbation: Tensor = self(images)
        return (images + perturbation).clamp(0, 1)


def _layer(convolution: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    return [convolution, nn.InstanceNorm2d(convolution.out_channels), nn.ReLU()]


def _missing(size: int) -> int:
    """Pixels up to the next multiple of 4 from 8 on: the norm of the innermost layer needs more than one."""
    return max(8, size + -size % 4) - size


def save_generator(path: str | Path, generator: Generator) -> None:
    """Write a generator's weights to a safetensors file, with what it takes to build it again as metadata."""
    state = {name: value.detach().contiguous() for name, value in generator.state_dict().items()}
    metadata = {"advgan_version": _VERSION, "channels": str(generator.channels), "eps": repr(generator.eps)}
    save_file(state, path, metadata)


def load_generator(path: str | Path, device: str | torch.device = "cpu") -> Generator:
    """The generator in a file of `save_generator`, in eval mode; no code in the file is run.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if the file is another one, or the generator was never trained.

    Example:
        >>> load_generator("nowhere.safetensors")
        Traceback (most recent call last):
        FileNotFoundError: `generator`: there is no file 'nowhere.safetensors'
    """
    if not Path(path).is_file():
        msg = f"`generator`: there is no file '{path}'"
        raise FileNotFoundError(msg)
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        generator = _built(metadata["advgan_version"], metadata["channels"], metadata["eps"])
        generator.load_state_dict(state, assign=True)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        accepted = f"a file of `save_generator` (safetensors, of version {_VERSION})"
        raise ArgumentError("generator", path, accepted) from error
    if not int(generator.batches_seen):
        raise ArgumentError("generator", f"{path}, which has seen no batch", "a trained one (see `AdvGANModule`)")
    return generator.eval()


def _built(version: str, channels: str, eps: str) -> Generator:
    if version != _VERSION:
        msg = f"version {version}"
        raise ValueError(msg)
    with torch.device("meta"):  # no random number is drawn for weights that are replaced
        return Generator(int(channels), float(eps))
