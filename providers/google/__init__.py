"""What Google's two faces (gemini.py, vertex.py) have in common: the wire, its errors, its safety signals."""
