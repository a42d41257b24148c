"""`drip demo`: a page in the browser on which a picture is painted on and cut out."""
