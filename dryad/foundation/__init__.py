"""Level 0 · foundation: what every other level stands on."""
