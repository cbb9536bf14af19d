"""The words of the synthetic shop: what it sells, and who might buy it.

Every brand and person is made up. The spelling "jewelery" and the mixed case of the cities are the
Fake Store API's own. How words become records lives in `synthetic`.
"""

BRANDS = (
    "Alder & Wren",
    "Brightwater",
    "Café Lumière",
    "Dunmore",
    "Fjordström",
    "Halcyon",
    "Kestrel",
    "Señal",
)

ARTICLES_BY_CATEGORY: dict[str, tuple[tuple[str, float], ...]] = {
    "electronics": (
        ("1 TB Portable SSD", 109.0),
        ("14-Inch Full HD Monitor", 149.0),
        ("27-Inch Curved Monitor", 329.0),
        ("Bluetooth Speaker", 59.0),
        ("Compact Camera", 279.0),
        ("Mechanical Keyboard", 89.0),
        ("Noise Cancelling Headphones", 199.0),
        ("Power Bank 20,000 mAh", 39.0),
        ("Smart Watch", 169.0),
        ("Tablet 10.1″", 229.0),
        ("USB-C Cable 2 m", 12.0),
        ("USB-C Charger 65 W", 34.0),
        ("Wireless Mouse", 29.0),
    ),
    "jewelery": (
        ("Amber Pendant", 45.0),
        ("Charm Bracelet", 65.0),
        ("Cufflinks", 55.0),
        ("Gold Plated Hoop Earrings", 29.0),
        ("Leather Wrap Bracelet", 19.0),
        ("Moonstone Ring", 85.0),
        ("Pearl Necklace", 240.0),
        ("Rose Gold Ring", 310.0),
        ("Sapphire Stud Earrings", 420.0),
        ("Signet Ring", 130.0),
        ("Silver Chain", 49.0),
        ("Solitaire Ring", 980.0),
        ("Tie Pin", 24.0),
    ),
    "men's clothing": (
        ("Casual Slim Fit Shirt", 25.0),
        ("Chino Trousers", 45.0),
        ("Cotton Jacket", 59.0),
        ("Denim Jeans", 55.0),
        ("Everyday Backpack", 95.0),
        ("Flannel Shirt", 35.0),
        ("Hooded Sweatshirt", 42.0),
        ("Leather Belt", 22.0),
        ("Merino Sweater", 75.0),
        ("Premium T-Shirt", 18.0),
        ("Rain Parka", 119.0),
        ("Running Shorts", 24.0),
        ("Wool Socks, 3 Pairs", 14.0),
    ),
    "women's clothing": (
        ("Boat Neck Top", 12.0),
        ("Cashmere Scarf", 69.0),
        ("Denim Jacket", 65.0),
        ("Faux Leather Biker Jacket", 79.0),
        ("Floral Summer Dress", 49.0),
        ("High-Waist Leggings", 27.0),
        ("Knitted Cardigan", 52.0),
        ("Linen Blouse", 38.0),
        ("Pleated Skirt", 41.0),
        ("Short Sleeve Moisture Tee", 11.0),
        ("Snowboard Jacket", 139.0),
        ("Striped Windbreaker", 36.0),
        ("Tote Bag", 32.0),
    ),
}

PRAISES = (
    "A customers' favourite, year after year.",
    "Comes in a gift box — no wrapping needed.",
    "Designed for every day; made to last.",
    "Light, sturdy and easy to look after.",
    "Made in small batches, à la carte.",
    "Return or exchange any order within 30 days.",
    "Works up to 40 °C.",
)

FIRST_NAMES = (
    *("ada", "amir", "bea", "bruno", "chloé", "dana", "diego", "elif", "emil", "fatima", "george"),
    *("hana", "ines", "ivan", "jun", "kofi", "lena", "lucas", "maria", "noor", "olga", "otto"),
    *("priya", "quinn", "rosa", "sam", "tomás", "uma", "viktor", "wanda", "yusuf", "zoë"),
)

LAST_NAMES = (
    *("applewood", "birdsong", "brook", "castell", "dovetail", "elmhurst", "fairweather", "frost"),
    *("goldfinch", "hartwell", "ironwood", "juniper", "kingsley", "larkspur", "marsh", "nightjar"),
    *("oakley", "penhallow", "quill", "rowan", "søndergård", "thistle", "underhill", "vale"),
    *("whitlock", "yarrow", "zimmerholz"),
)

STREETS = (
    *(
        "Frances Ct",
        "new road",
        "Lovers Ln",
        "Hunters Creek Dr",
        "adams St",
        "prospect st",
        "Elm Ave",
    ),
    *("Old Mill Rd", "Rue du Marché", "Station Rd", "Harbour St", "Königstraße"),
)

CITIES: tuple[tuple[str, float, float], ...] = (
    ("San Antonio", 29.4241, -98.4936),
    ("Kilcoole", 53.1067, -6.0647),
    ("Cullman", 34.1748, -86.8436),
    ("El Paso", 31.7619, -106.485),
    ("Fresno", 36.7378, -119.7871),
    ("Mesa", 33.4152, -111.8315),
    ("Miami", 25.7617, -80.1918),
    ("São Paulo", -23.5505, -46.6333),
    ("Zürich", 47.3769, 8.5417),
    ("Porto", 41.1579, -8.6291),
    ("Malmö", 55.605, 13.0038),
    ("Fort Wayne", 41.0793, -85.1394),
    ("Little Rock", 34.7465, -92.2896),
    ("Galway", 53.2707, -9.0568),
    ("Las Cruces", 32.3199, -106.7637),
    ("New Plymouth", -39.0556, 174.0752),
)
"""City, latitude, longitude; the first have the most customers."""
