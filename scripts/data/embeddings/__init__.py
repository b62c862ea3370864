"""Cases -> the frozen encoder's embeddings: computed once (cache), kept in files (store), drawn for training (draw)."""
