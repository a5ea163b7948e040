"""BIG against a plain search and Captum's integral, and what its boundary point must be."""

import captum.attr
import pytest
import torch
from torch import nn

from _reference.nets import Counter, mlp
from lit_attr.attribution import BIG, IntegratedGradients

X = torch.rand(3, 48, dtype=torch.float64)


def predicted(net, x):
    return int(net(x[None]).argmax())


def search(net, x, y, steps, alpha, bisections):
    """One sample, without bounds: the points on both sides of the boundary; None where there is none."""
    points = [x]
    for _ in range(steps):
        if predicted(net, points[-1]) != y:
            break
        point = points[-1].clone().requires_grad_()
        nn.functional.cross_entropy(net(point[None]), torch.tensor([y])).backward()
        points.append(points[-1] + alpha * point.grad.sign())
    if len(points) == 1 or predicted(net, points[-1]) == y:
        return None
    near, far = points[-2:]
    for _ in range(bisections):
        middle = (near + far) / 2
        near, far = (middle, far) if predicted(net, middle) == y else (near, middle)
    return near, far


class Sides(nn.Module):
    """Classes 0 and 1 to the right and left of a point, for one feature."""

    def __init__(self, point=0.0):
        super().__init__()
        self.point = point

    def forward(self, x):
        return torch.cat([x - self.point, self.point - x], dim=1)


class Same(nn.Module):
    """Moved a little by every feature, but not impressed: class 0 is always the likeliest."""

    def forward(self, x):
        surplus = 3 + 0.1 * x.flatten(1).mean(1).tanh()
        return torch.stack([surplus, torch.zeros_like(surplus)], dim=1)


@pytest.mark.parametrize("settings", [{}, {"alpha": 0.03, "bisections": 3}, {"alpha": 0.1, "bisections": 0}], ids=str)
def test_one_sample_at_a_time_by_a_plain_loop(settings):
    net = mlp(48, hidden=20)
    y = net(X).argmax(1)
    found = BIG(**settings).explain(net, X, y)
    used = {"alpha": 1 / 255, "bisections": 10} | settings
    for i in range(3):
        near, far = search(net, X[i], int(y[i]), steps=100, **used)
        torch.testing.assert_close(found.endpoint[i], far, rtol=0, atol=1e-14)
        assert predicted(net, found.endpoint[i]) != int(y[i]) == predicted(net, near)  # check N15
        assert float((near - far).abs().max()) <= used["alpha"] / 2 ** used["bisections"] + 1e-14
        expected = captum.attr.IntegratedGradients(net).attribute(X[i : i + 1], far[None], int(y[i]), n_steps=50)
        torch.testing.assert_close(found.attribution[i : i + 1], expected, rtol=1e-9, atol=1e-12)
    assert found.success.tolist() == [True] * 3


def test_boundary_of_a_linear_model():
    """z = (w x, -w x): the sign walk meets w x = 0, and A = w (x - x')."""
    w = torch.randn(48, dtype=torch.float64)
    net = nn.Linear(48, 2, bias=False, dtype=torch.float64)
    net.weight.data = torch.stack([w, -w])
    x = X + 0.3 * w.sign()
    found = BIG(alpha=0.02).explain(net, x, 0)
    value = found.endpoint @ w
    assert bool((value < 0).all())
    assert bool((value >= -w.abs().sum() * 0.02 / 2**10).all())
    distance = (x @ w) / w.abs().sum()
    torch.testing.assert_close(x - found.endpoint, distance[:, None] * w.sign(), rtol=0, atol=0.02 / 2**10)
    torch.testing.assert_close(found.attribution, w * (x - found.endpoint), rtol=0, atol=1e-12)


def test_completeness_on_a_smooth_net():
    """Check N7, of the line from the boundary."""
    net = mlp(48, hidden=20)
    y = net(X).argmax(1)
    found = BIG(steps=25).explain(net, X, y)
    change = (net(X) - net(found.endpoint)).gather(1, y[:, None])[:, 0].detach()
    torch.testing.assert_close(found.completeness_error, found.attribution.sum(1) - change)
    assert float((found.completeness_error / change).abs().max()) < 1e-6


def test_from_another_point_it_is_integrated_gradients(monkeypatch):
    """Check N9."""
    monkeypatch.setattr(BIG, "_bisect", lambda *_: torch.zeros_like(X))
    settings = {"steps": 7, "rule": "left", "objective": "prob"}
    net = mlp(48)
    expected = IntegratedGradients(**settings)(net, X, 1)
    torch.testing.assert_close(BIG(search_steps=2, **settings)(net, X, 1), expected, rtol=0, atol=1e-14)


def test_a_model_of_one_class_has_no_boundary():
    """Check N15: the sample is explained from where its walk ended, and says so."""
    with pytest.warns(UserWarning, match=r"no boundary of the explained class for 3 of 3 samples") as told:
        found = BIG(search_steps=4, alpha=0.01).explain(Same(), X, 0)
    assert [warning.filename for warning in told] == [__file__]
    assert found.success.tolist() == [False] * 3
    torch.testing.assert_close((found.endpoint - X).abs(), torch.full_like(X, 0.04))
    assert float(found.completeness_error.abs().max()) < 1e-12


def test_only_the_samples_without_a_boundary_are_named():
    x = torch.tensor([[0.05], [0.5], [-0.2]], dtype=torch.float64)  # near, too far, of the other class already
    with pytest.warns(UserWarning, match=r"for 2 of 3 samples, within 10 steps of 0\.01; see"):
        found = BIG(search_steps=10, alpha=0.01).explain(Sides(), x, 0)
    assert found.success.tolist() == [True, False, False]
    assert -0.01 / 2**10 <= float(found.endpoint[0]) < 0
    torch.testing.assert_close(found.endpoint[1:], torch.tensor([[0.4], [-0.3]], dtype=torch.float64))


def test_images_stay_in_their_range():
    inputs = torch.rand(2, 1, 4, 4, dtype=torch.float64)

    class Bright(nn.Module):
        def forward(self, x):
            z = x.flatten(1).sum(1, keepdim=True) + 1
            return torch.cat([z, -z], dim=1)

    with pytest.warns(UserWarning, match="for 2 of 2 samples"):
        found = BIG(alpha=0.05).explain(Bright(), inputs, 0)
    assert not found.endpoint.any()
    found = BIG(alpha=0.05, bounds=None).explain(Bright(), inputs, 0)
    assert bool(found.success.all())
    assert float(found.endpoint.min()) < 0


def test_blocks_of_walks_change_nothing():
    """Of nine samples one by one, four walk at a time; some of them are of another class already."""
    net, x = mlp(48, hidden=20), torch.rand(9, 48, dtype=torch.float64)
    y = net(x).argmax(1)
    y[::4] = (y[::4] + 1) % 3
    found, expected = (BIG(max_batch=most).explain(net, x, y) for most in (1, None))
    torch.testing.assert_close(found.endpoint, expected.endpoint, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.attribution, expected.attribution, rtol=0, atol=1e-12)
    assert torch.equal(found.success, expected.success)
    assert found.success.tolist() == [i % 4 != 0 for i in range(9)]


def test_passes_of_the_longest_search():
    """The class changes at the last step, so that nothing is saved."""
    x, method = torch.tensor([[0.045], [0.048]], dtype=torch.float64), BIG(search_steps=5, alpha=0.01, steps=7)
    net = Counter(Sides())
    method(net, x, 0)
    assert (net.forwards / 2, net.backwards / 2) == method.passes() == (5 + 1 + 10 + 7, 5 + 7)
    assert BIG().passes() == (100 + 1 + 10 + 50, 100 + 50)
    early = BIG(search_steps=9, alpha=0.01, steps=7).explain(Sides(), x, 0)
    assert early.passes == (5 + 1 + 10 + 7 + 2, 5 + 1 + 7)  # six points, and both ends for completeness


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_end_point_as_it_is_returned_has_another_class(dtype):
    net = mlp(48, hidden=20).to(dtype)
    x = X.to(dtype)
    y = net(x).argmax(1)
    found = BIG().explain(net, x, y)
    assert found.success.any()
    assert found.endpoint.dtype == dtype
    assert bool((net(found.endpoint).argmax(1) != y)[found.success].all())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "`steps` must be a positive integer, got 0"),
        ({"rule": "simpson"}, "`rule` is 'simpson'; accepted: abe, captum, gauss-legendre, left"),
        ({"search_steps": 0}, "`search_steps` must be a positive integer, got 0"),
        ({"alpha": -1}, "`alpha` must be a number of at least 0, got -1"),
        ({"bisections": -1}, "`bisections` must be an integer of at least 0, got -1"),
        ({"bounds": (1, 0)}, "`bounds` must be"),
        ({"preset": "reference"}, "`preset` is 'reference'; accepted: toolkit"),
    ],
)
def test_refused_before_there_is_a_model(settings, message):
    with pytest.raises(ValueError, match=message):
        BIG(**settings)
