"""Innocent product titles in four languages, seeded: what a shop full of ordinary goods says."""

from __future__ import annotations

import random

GOODS = {
    "en": (
        *(
            "running shoe",
            "leather handbag",
            "wrist watch",
            "linen shirt",
            "denim jacket",
            "glue gun",
            "replicator mug",
        ),
        *("replicator mug", "fire cracker", "bootleg jeans", "assassin novel"),
        *("coffee mug", "cast iron pan", "garden hose", "bath towel", "phone case", "fake plant", "heron figurine"),
        *("face cream with vitamin C", "green tea", "dark chocolate", "dog collar", "chess set", "cocktail dress"),
        *(
            "poppy seed roll",
            "hashbrown waffle maker",
            "therapist notebook",
            "Scunthorpe United scarf",
            "assassin novel",
        ),
        *(
            "classic grass seed",
            "analog synthesizer",
            "Essex map",
            "Dickens collection",
            "shiitake kit",
            "bootleg jeans",
        ),
        *(
            "heroine fantasy book",
            "Sussex cider glass",
            "peacock feather",
            "cockpit poster",
            "bass clarinet",
            "fire cracker",
        ),
    ),
    "de": (
        *("Laufschuh", "Ledertasche", "Armbanduhr", "Leinenhemd", "Jeansjacke", "Heißklebepistole", "Kaffeetasse"),
        *("Gusspfanne", "Gartenschlauch", "Badetuch", "Handyhülle", "Kunstpflanze", "Reiherfigur", "Hundehalsband"),
        *("Vitamincreme", "Kräutertee", "Schachspiel", "Rezeptbuch", "Fallschirm", "Speedcontroller", "Spiegelschrank"),
        *("Originalersatzteil", "Kopierpapier", "Telegrammblock", "Duplikatschlüssel", "Imitatleder", "Reprint"),
    ),
    "fr": (
        *("chaussure de course", "sac en cuir", "montre", "chemise en lin", "veste en jean", "pistolet à colle"),
        *("tasse à café", "poêle en fonte", "tuyau d'arrosage", "serviette de bain", "coque de téléphone", "applique"),
        *(
            "crème à la vitamine C",
            "thé vert",
            "jeu d'échecs",
            "livre de recettes",
            "appareil photo",
            "étamine de laine",
        ),
        *("étamine de laine", "chaussures à contrefort", "hachis parmentier", "figurine d'héroïne du film", "miroir"),
    ),
    "es": (
        *("zapatilla de correr", "bolso de piel", "reloj de pulsera", "camisa de lino", "chaqueta vaquera", "taza"),
        *("sartén de hierro", "manguera de jardín", "toalla de baño", "funda de móvil", "pistola de silicona"),
        *("crema con vitamina C", "té verde", "ajedrez", "libro de recetas", "espejo de mano", "papel de copia"),
        *("archivador clasificado", "muñeca heroína de acción", "cocina completa", "figura de garza", "hierbabuena"),
    ),
}
COLOURS = {
    "en": ("black", "white", "red", "navy blue", "beige", "olive"),
    "de": ("schwarz", "weiß", "rot", "dunkelblau", "beige", "oliv"),
    "fr": ("noir", "blanc", "rouge", "bleu marine", "beige", "olive"),
    "es": ("negro", "blanco", "rojo", "azul marino", "beige", "oliva"),
}
DETAILS = {
    "en": ("size M 38/40", "100% cotton", "set of 4", "new in box", "free returns", "2.5 L", "EAN 4006381333931"),
    "de": ("Größe M 38/40", "100 % Baumwolle", "4er-Set", "neu und originalverpackt", "2,5 l", "Art.-Nr. 88-1204"),
    "fr": (
        "taille M 38/40",
        "100 % coton",
        "lot de 4",
        "neuf dans sa boîte",
        "2,5 l",
        "réf. 88-1204",
        "retour gratuit",
    ),
    "es": ("talla M 38/40", "100 % algodón", "juego de 4", "nuevo en su caja", "2,5 l", "ref. 88-1204", "envío gratis"),
}
BRANDS = ("Nordlicht", "Maison Claire", "Hollis & Sons", "Kumo", "Tierra", "Brightside", "Van der Veen", "Almeida")


def innocent_titles(count: int, seed: int = 1) -> list[tuple[str, str]]:
    """Pairs of language and title."""
    chance = random.Random(seed)
    titles = []
    for _ in range(count):
        language = chance.choice(tuple(GOODS))
        parts = [chance.choice(BRANDS), chance.choice(GOODS[language]), chance.choice(COLOURS[language])]
        parts += chance.sample(DETAILS[language], chance.randint(0, 2))
        titles.append((language, ", ".join(parts)))
    return titles
