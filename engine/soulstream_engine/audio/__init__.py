"""Getting sound in: files, standard input, the built-in track and microphones, all as mono blocks at 48 kHz."""
