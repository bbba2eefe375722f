"""What several pages use: state, cached tables, choosers and blocks of text."""
