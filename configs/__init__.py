"""The shipped configs, importable as package data so that `lit-attr` finds them wherever it is installed."""
