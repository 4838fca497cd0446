"""Closed lists that invented people are made of: no list holds a real person, and no text is the beginning of another."""

from __future__ import annotations

from itertools import product

from privacy.invented.slots import HOLE


def _words(text: str, separator: str | None = None) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(separator))


GIVEN_NAMES = _words(
    """Adela Albin Alessa Amaro Amias Anselm Ariadne Armin Astrid Aurel Azalea Barnaby Basil Beatrix Benno Bertil Birgit Bram
    Briony Bronte Calla Caspar Cecily Celio Clemens Colette Corin Cosima Cyprian Dagny Damaris Delphine Demelza Dorian Edda Edmund
    Eleni Elodie Elspeth Emeric Enzo Esme Eudora Ewan Fabio Faustine Fenella Flavia Florian Freya Gareth Gemma Gideon Gisela Greta
    Gunnar Gwendolyn Hadrian Hanno Harriet Hedda Helene Hester Hollis Idris Ilario Ilse Imogen Ines Ingo Iolanthe Isolde Ivor
    Jolyon Jonas Josefa Judith Junia Katrin Keziah Kilian Konrad Kyra Lambert Lavinia Leif Leonie Linnea Livia Lorcan Lucinda
    Ludo Magnus Malin Marcel Marguerite Matilda Merle Milo Minna Mirabel Morwenna Nadia Nerys Nikolai Noemi Norbert Octavia
    Odette Olwen Ophelia Orla Orson Oskar Otilia Paloma Pascal Perdita Petra Philippa Quentin Ragnar Ramona Reuben Rhiannon
    Romy Rosalind Rufus Sabine Salome Selma Severin Sibyl Silas Sorrel Stellan Sunniva Tabitha Tamsin Tancred Thaddeus Theda
    Tilda Tobias Ulrich Ursula Valerie Vera Viggo Wanda Wendelin Wilfred Willa Xanthe Ysolt Yvette Zachary Zelda Zora"""
)

_SURNAME_HEADS = _words(
    """Alder Birch Brack Cinder Corvel Drake Dunmor Eller Ember Fenn Ferris Gorse Harrow Hazel Ingle Jarr Kestrel
    Lark Linden Merri Mossen Nettle Orrin Oster Pell Pember Quill Raven Rook Sable Starl Tansy Tarn Thorn Umber Vesper Winder
    Yarrow Zell Orchel"""
)
_SURNAME_TAILS = _words(
    """bourne brook combe croft dale feather field fold garth gate holm hurst ley lock mere moor ridge shaw stead
    stone thwaite ward wick wold worth"""
)
SURNAMES = tuple(head + tail for head, tail in product(_SURNAME_HEADS, _SURNAME_TAILS))

_TOWN_HEADS = _words(
    """Amber Bellow Calder Dorn Elver Fallow Glimmer Hollin Ister Juniper Kell Lorn Maren Norrel Oaken Perrin Quarren
    Rillow Selwin Tolver Ulver Varren Welkin Yester Zennor"""
)
_TOWN_TAILS = _words("burgh bury ford haven minster mouth port sea ton view ville water")
TOWNS = tuple(head + tail for head, tail in product(_TOWN_HEADS, _TOWN_TAILS))

_KINDS = _words(
    """@ University|University of @|@ State University|Technical University of @|@ Polytechnic|@ Institute of Technology|
    @ School of Mines|@ Medical School|@ Law School|@ Business School|@ Conservatory|@ Agricultural College|@ Teachers College|
    @ College of Art|@ College of Nursing|@ Graduate School|@ Maritime Academy|@ Open University|@ Community College|
    Royal College of @|Free University of @|Catholic University of @|@ Institute of Science|@ School of Economics""",
    "|",
)
AFFILIATIONS = tuple(kind.replace("@", HOLE) for kind in _KINDS)

RELATIONS = _words(
    """mother father sister brother daughter son wife husband aunt uncle niece nephew cousin grandmother grandfather granddaughter
    grandson stepmother stepfather stepsister stepbrother godmother godfather half-sister half-brother fiancé widow"""
)

# Area codes of the North American plan that are in use for places; 555-0100 .. 555-0199 is kept free for fiction in each.
AREA_CODES = _words(
    """201 202 203 205 206 207 208 209 210 212 213 214 215 216 217 218 219 220 223 224 225 227 228 229 231 234 235 239 240 248 251
    252 253 254 256 260 262 267 269 270 272 274 276 279 281 283 301 302 303 304 305 307 308 309 310 312 313 314 315 316 317 318
    319 320 321 323 324 325 326 327 329 330 331 332 334 336 337 339 341 346 347 350 351 352 353 360 361 363 364 369 380 385 386
    401 402 404 405 406 407 408 409 410 412 413 414 415 417 419 423 424 425 430 432 434 435 440 442 443 445 447 448 458 463 464
    469 470 472 475 478 479 480 484 501 502 503 504 505 507 508 509 510 512 513 515 516 517 518 520 530 531 534 539 540 541 551
    557 559 561 562 563 564 567 570 571 572 573 574 575 580 582 585 586 601 602 603 605 606 607 608 609 610 612 614 615 616 617
    618 619 620 623 626 628 629 630 631 636 640 641 645 646 650 651 656 657 659 660 661 662 667 669 678 680 681 682 686 689 701
    702 703 704 706 707 708 712 713 714 715 716 717 718 719 720 724 725 726 727 728 730 731 732 734 737 738 740 743 747 748 754
    757 760 762 763 765 769 770 771 772 773 774 775 779 781 785 786 801 802 803 804 805 806 808 810 812 813 814 815 816 817 818
    820 821 826 828 830 831 832 835 838 839 840 843 845 847 848 850 854 856 857 858 859 860 862 863 864 865 870 872 878 901 903
    904 906 907 908 909 910 912 913 914 915 916 917 918 919 920 925 928 929 930 931 934 936 937 938 940 941 943 945 947 948 949
    951 952 954 956 959 970 971 972 973 975 978 979 980 983 984 985 986 989"""
)

STREET_TYPES = ("Road", "Street", "Avenue", "Lane", "Drive", "Court")
STATES = _words("AL CA CO FL GA IL IN KY MA MI MN MO NC NJ NY OH OR PA TX VA WA WI")
# First three digits of ZIP codes that stand for no place.
FREE_ZIPS = _words("000 001 002 003 004 213 269 343 345 348 353 428 429 517 518 519 529 533 536 552 568 578 579 589")
DOMAINS = ("example.com", "example.org", "example.net")
