"""Weaker memory orders, and the model tests that notice them: for scripts/mutate_orders.py."""
