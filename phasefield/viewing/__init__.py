"""Files of fields for other programs: what ParaView reads, pictures and films. `formats.FORMATS` lists them."""
