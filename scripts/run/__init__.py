"""What a run is told to do, and how it ends: settings checked and compared, errors in a sentence, an orderly end on signals."""
