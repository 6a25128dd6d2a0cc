"""Reading hostile or sloppy text: look-alike letters, word lists, contact details, object names."""
