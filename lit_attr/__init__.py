"""lit_attr: train image models with Lightning while their explanations and robustness are measured."""

__version__ = "0.1.0"
