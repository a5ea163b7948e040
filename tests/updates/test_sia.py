"""SIA against a loop over samples, copies and blocks, with scipy's transforms and the same random numbers."""

import pytest
import torch
import torch.nn.functional as F
from scipy import fft

from _reference.nets import Counter, cnn, mlp
from _reference.walks import points, turns
from lit_attr.updates import SIA, Region, Step, Walks, sia

SHAPE = (3, 8, 10)
X = torch.rand(2, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([2, 0])
NAMES = ["down", "right", "rows", "columns", "both", "darker", "noisy", "resized", "low", "dropped"]


def low_pass(side):
    """By columns: each unit vector's spectrum without its highest 40 %, rounded down, and back."""
    spectra = fft.dct(torch.eye(side).double().numpy(), axis=0, norm="ortho")
    spectra[side - int(0.4 * side) :] = 0
    return torch.from_numpy(fft.idct(spectra, axis=0, norm="ortho"))


def shifts(name, block, generator):
    """One block `[C, h, w]` whose pixels change places."""
    _, height, width = block.shape
    down = int(torch.randint(height, (1,), generator=generator)) if name == "down" else 0
    right = int(torch.randint(width, (1,), generator=generator)) if name == "right" else 0
    rows = [(r - down) % height for r in range(height)]
    columns = [(c - right) % width for c in range(width)]
    rows = rows[::-1] if name in {"rows", "both"} else rows
    columns = columns[::-1] if name in {"columns", "both"} else columns
    return block[:, rows][:, :, columns]


def change(name, block, generator):
    """One block `[C, h, w]`."""
    channels, height, width = block.shape
    if name == "darker":
        found = block * torch.rand(1, generator=generator).double()
    elif name == "noisy":
        noise = torch.rand(1, channels, height, width, generator=generator)[0].double() * 32 / 255 - 16 / 255
        found = (block + noise).clamp(0, 1)
    elif name == "resized":
        small = F.interpolate(block[None], (height * 4 // 5 + 1, width * 4 // 5 + 1), mode="bilinear")
        found = F.interpolate(small, (height, width), mode="bilinear")[0].clamp(0, 1)
    elif name == "low":
        found = torch.einsum("ij,cjk,lk->cil", low_pass(height), block, low_pass(width))
    elif name == "dropped":
        kept = [float(torch.rand(1, generator=generator)) >= 0.1 for _ in block]
        found = torch.stack([channel / 0.9 * keep for channel, keep in zip(block, kept, strict=True)])
    else:
        found = shifts(name, block, generator)
    return found


def by_hand(net, x, y, rule, *, steps, used):
    generator = torch.Generator().manual_seed(0)
    path, velocity = [x], torch.zeros_like(x)
    for _ in range(steps):
        gradients = []
        for _ in range(rule.copies):
            here = path[-1].clone().requires_grad_()
            cuts = [
                [0, *sorted((torch.randperm(size - 1, generator=generator)[: rule.blocks - 1] + 1).tolist()), size]
                for size in SHAPE[1:]
            ]
            asked = torch.zeros(SHAPE).double()
            for top, bottom in zip(cuts[0], cuts[0][1:], strict=False):
                for left, right in zip(cuts[1], cuts[1][1:], strict=False):
                    name = NAMES[int(torch.randint(10, (1,), generator=generator))]
                    used.add(name)
                    asked[:, top:bottom, left:right] = change(name, here[:, top:bottom, left:right], generator)
            loss = F.cross_entropy(net(asked[None]), torch.tensor([y]))
            gradients.append(torch.autograd.grad(loss, here)[0])
        gradient = torch.stack(gradients).mean(0)
        velocity = rule.momentum * velocity + gradient / gradient.abs().mean()
        path.append(torch.clamp(torch.clamp(path[-1] + rule.alpha * velocity.sign(), x - 0.1, x + 0.1), 0, 1))
    return torch.stack(path)


@pytest.mark.parametrize(
    "rule", [SIA(0.03, copies=4), SIA(0.05, copies=3, blocks=1, momentum=0.5), SIA(0.05, copies=2, blocks=8)], ids=str
)
@pytest.mark.parametrize("max_batch", [3, None])
def test_one_sample_at_a_time_by_a_plain_loop(rule, max_batch):
    net, used = cnn(), set()
    found = points(net, rule, X, Y, steps=3, max_batch=max_batch)
    for i in range(2):
        expected = by_hand(net, X[i], int(Y[i]), rule, steps=3, used=used)
        torch.testing.assert_close(found[:, i], expected, rtol=0, atol=1e-12)
    assert rule.blocks == 1 or used == set(NAMES)


def step_at(images, bounds=(0.0, 1.0)):
    rows = torch.zeros(len(images), 1, dtype=torch.long)
    return Step(images, images, images, 0, 1, Walks.of(rows), None, torch.Generator(), None, None, bounds)


@pytest.mark.parametrize(("name", "made"), [*zip(NAMES, sia._CHANGES, strict=True)])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 1), (7, 4)], ids=str)
def test_each_change_of_blocks_of_any_size(name, made, size):
    block, generator = torch.rand(1, 3, *size, dtype=torch.float64), torch.Generator()
    step = step_at(block)
    for seed in range(4):
        step.generator.manual_seed(seed)
        generator.manual_seed(seed)
        torch.testing.assert_close(made(block, step)[0], change(name, block[0], generator), rtol=0, atol=1e-12)


def test_what_is_constant_stays_so_where_that_is_meant():
    """Of one grey level, rolled, flipped, resized, without high frequencies."""
    block = torch.full((1, 3, 6, 9), 0.5, dtype=torch.float64)
    for name, made in zip(NAMES, sia._CHANGES, strict=True):
        same = torch.allclose(made(block, step_at(block)), block)
        assert same is (name not in {"darker", "noisy", "dropped"})


def test_noise_stays_inside_the_bounds_if_there_are_any():
    black = torch.zeros(1, 3, 6, 9)
    assert float(sia._noisy(black, step_at(black)).min()) == 0
    assert float(sia._noisy(black, step_at(black, None)).min()) < -0.04


def test_channels_are_dropped_one_time_in_ten():
    block = torch.ones(1, 10_000, 1, 1)
    dropped = sia._without_channels(block, step_at(block)) == 0
    assert 0.08 < float(dropped.float().mean()) < 0.12


def test_every_cut_is_as_likely_and_every_part_has_a_pixel():
    step, seen = step_at(X), torch.zeros(10)
    for _ in range(600):
        sides = sia._sides(10, 3, step)
        assert sum(sides) == 10
        assert min(sides) >= 1
        seen[sides[0]] += 1
        seen[sides[0] + sides[1]] += 1
    assert seen[0] == 0
    assert ((seen[1:] / 600 - 2 / 9).abs() < 0.06).all()


def test_blocks_of_one_pixel():
    found = points(cnn(), SIA(copies=2, blocks=8), X, Y, region=Region(0.1, (0, 1)))
    assert torch.isfinite(found).all()
    assert not torch.equal(found[-1], X)


def test_what_cannot_be_cut_is_refused():
    with pytest.raises(ValueError, match="`blocks` must be at most 8, got 9 for images of 8x10 pixels"):
        points(cnn(), SIA(blocks=9), X, Y)
    with pytest.raises(ValueError, match=r"`inputs` must be images \[B, C, H, W\] for SIA, got samples of"):
        points(mlp(), SIA(), X[:, 0, 0, :6], Y)


def test_passes():
    net = Counter(cnn())
    _, passes = turns(net, SIA(copies=4), X, Y, steps=3)
    assert passes == (12, 12) == (net.forwards / 2, net.backwards / 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"copies": 0}, "`copies` must be a positive integer"),
        ({"blocks": 0}, "`blocks` must be a positive integer"),
        ({"momentum": -1}, "`momentum` must be a number of at least 0"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        SIA(**settings)
