"""A segmenter and data that know nothing of lit_attr: squares, of two classes, in images of two sizes."""

import lightning as L
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

CLASSES, VOID = 3, 255


class Squares(Dataset):
    """Dark images with a red square of class 1 on the left, and of odd numbers a blue one of class 2 on the right."""

    def __init__(self, size=6, sizes=((16, 24),), third=False):
        self.size, self.sizes, self.third = size, sizes, third

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        if not 0 <= index < self.size:
            raise IndexError(index)
        height, width = self.sizes[index % len(self.sizes)]
        image = 0.2 * torch.rand(3, height, width, generator=torch.Generator().manual_seed(index))
        mask = torch.zeros(height, width, dtype=torch.long)
        mask[0] = VOID
        image[0, 4:10, 2:8] += 0.7
        mask[4:10, 2:8] = 1
        if index % 2:
            image[2, 6:12, -8:-2] += 0.7
            mask[6:12, -8:-2] = 2
        cause = torch.zeros(height, width, dtype=torch.bool)
        cause[4:12, 2:10] = True
        return (image, mask, cause) if self.third else (image, mask)


class Colours(L.LightningModule):
    """Reads the class of a pixel off its colour, at half the size; right without any training."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, stride=2, bias=False), nn.ReLU())
        self.head = nn.Conv2d(3, CLASSES, 1)
        weight = torch.zeros(3, 3, 3, 3)
        weight[range(3), range(3), 1, 1] = 1
        self.features[0].weight.data.copy_(weight)
        self.head.weight.data.copy_(20 * torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 0, 1]])[:, :, None, None])
        self.head.bias.data.copy_(torch.tensor([8.0, 0, 0]))

    def forward(self, images):
        return {"out": self.head(self.features(images))}

    def training_step(self, batch, batch_idx):
        logits = F.interpolate(self(batch[0])["out"], batch[1].shape[1:], mode="bilinear")
        return F.cross_entropy(logits, batch[1], ignore_index=VOID)

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", self.training_step(batch, batch_idx))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-3)


def loader(size=6, batch_size=2, **settings):
    return DataLoader(Squares(size, **settings), batch_size=batch_size)
