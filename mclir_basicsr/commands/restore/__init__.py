"""``mclir restore``: a folder of photographs through a trained network."""
