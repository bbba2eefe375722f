"""Figures in a notebook and in the HTML page that nbconvert makes of it."""
