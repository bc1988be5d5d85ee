"""Recommenders: one file a model. ``table`` names them."""

from matinee.models.table import RECIPES, load_model, load_recipe

__all__ = ["RECIPES", "load_model", "load_recipe"]
