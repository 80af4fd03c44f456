"""Units, currencies, months and number words: the data behind ``facts``.

Abbreviations are case sensitive (``mg`` is not ``Mg``, ``kW`` is not ``KW``), words are not. A unit has one canonical
spelling; two spellings of one unit are equal, two units of one dimension are not (40 kg is not 40 lb, and no
conversion is done: a view that converts has to be checked by a person).
"""

MONTHS: dict[str, int] = {}
for _number, _names in enumerate(
    (
        "january jan januar jänner janvier enero gennaio januari janeiro",
        "february feb februar février fevrier febrero febbraio februari fevereiro",
        "march mar märz maerz mrz mars marzo maart março",
        "april apr avril abril aprile",
        "may mai mayo maggio mei maio maj",
        "june jun juni juin junio giugno junho",
        "july jul juli juillet julio luglio julho",
        "august aug août aout agosto augustus augusti",
        "september sep sept septembre septiembre settembre setembro",
        "october oct oktober okt octobre octubre ottobre outubro",
        "november nov novembre noviembre novembro",
        "december dec dezember dez décembre decembre diciembre dicembre dezembro",
    ),
    start=1,
):
    MONTHS.update(dict.fromkeys(_names.split(), _number))

WEEKDAYS: dict[str, int] = {}
for _number, _names in enumerate(
    (
        "monday mon montag lundi lunes lunedì maandag måndag",
        "tuesday tue tues dienstag mardi martes martedì dinsdag tisdag",
        "wednesday wed mittwoch mercredi miércoles mercoledì woensdag onsdag",
        "thursday thu thur thurs donnerstag jeudi jueves giovedì donderdag torsdag",
        "friday fri freitag vendredi viernes venerdì vrijdag fredag",
        "saturday sat samstag sonnabend samedi sábado sabato zaterdag lördag",
        "sunday sun sonntag dimanche domingo domenica zondag söndag",
    ),
    start=1,
):
    WEEKDAYS.update(dict.fromkeys(_names.split(), _number))

CURRENCY_SIGNS = {
    "€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY", "₹": "INR", "₽": "RUB", "₩": "KRW", "₺": "TRY", "₴": "UAH",
    "US$": "USD", "A$": "AUD", "C$": "CAD", "R$": "BRL",
}  # fmt: skip
_CODES = """
USD EUR GBP JPY CHF CNY INR AUD CAD SEK NOK DKK PLN CZK HUF RON BGN TRY BRL MXN ZAR KRW RUB UAH ILS SGD HKD NZD THB IDR
AED SAR NGN KES EGP ARS CLP COP ISK
"""
CURRENCY_CODES = frozenset(_CODES.split())
CURRENCY_WORDS = {
    "euro": "EUR", "euros": "EUR", "dollar": "USD", "dollars": "USD", "pound": "GBP", "pounds": "GBP", "quid": "GBP",
    "sterling": "GBP", "yen": "JPY", "yuan": "CNY", "rupees": "INR", "rupee": "INR", "francs": "CHF", "franc": "CHF",
    "franken": "CHF", "kronor": "SEK", "kroner": "NOK", "zloty": "PLN", "złoty": "PLN", "rubles": "RUB",
    "pesos": "MXN", "cents": "cent", "cent": "cent", "pence": "penny",
}  # fmt: skip

MAGNITUDES = {
    "hundred": 2, "hundreds": 2, "thousand": 3, "thousands": 3, "tausend": 3, "mille": 3, "mil": 3,
    "million": 6, "millions": 6, "mio": 6, "millionen": 6, "millones": 6,
    "billion": 9, "billions": 9, "bn": 9, "mrd": 9, "milliarde": 9, "milliarden": 9, "milliard": 9, "milliards": 9,
    "trillion": 12, "trillions": 12, "lakh": 5, "crore": 7,
}  # fmt: skip
MAGNITUDE_LETTERS = {"k": 3, "K": 3, "M": 6, "m": 6, "B": 9, "bn": 9, "tn": 12}  # only straight after money

# canonical unit: every spelling, abbreviations as written
_UNITS_CASED = {
    "mm": "mm", "cm": "cm", "dm": "dm", "m": "m", "km": "km", "µm": "µm μm um", "nm": "nm", "in": "",
    "ft": "ft", "yd": "yd", "mi": "mi", "m2": "m² m2 sqm", "km2": "km²", "ha": "ha", "m3": "m³ m3 cbm", "sqft": "sqft",
    "mg": "mg", "g": "g", "kg": "kg", "µg": "µg μg ug mcg", "lb": "lb lbs", "oz": "oz", "t": "t",
    "ml": "ml mL", "cl": "cl cL", "dl": "dl dL", "l": "l L",
    "W": "W", "kW": "kW KW", "MW": "MW", "GW": "GW", "TW": "TW", "mW": "mW",
    "Wh": "Wh", "kWh": "kWh KWh kwh", "MWh": "MWh", "GWh": "GWh", "TWh": "TWh", "J": "J", "kJ": "kJ", "MJ": "MJ",
    "V": "V", "kV": "kV", "mV": "mV", "A": "A", "mA": "mA", "Ah": "Ah", "mAh": "mAh", "Ω": "Ω",
    "Hz": "Hz", "kHz": "kHz", "MHz": "MHz", "GHz": "GHz", "rpm": "rpm", "dB": "dB", "lm": "lm", "lx": "lx",
    "°C": "°C ℃", "°F": "°F ℉", "°": "°", "K": "",
    "Pa": "Pa", "hPa": "hPa", "kPa": "kPa", "MPa": "MPa", "bar": "bar", "mbar": "mbar", "mmHg": "mmHg", "psi": "psi",
    "N": "N", "kN": "kN", "Nm": "Nm",
    "B": "B", "kB": "kB KB", "MB": "MB", "GB": "GB", "TB": "TB", "PB": "PB",
    "KiB": "KiB", "MiB": "MiB", "GiB": "GiB", "TiB": "TiB",
    "bit/s": "bit/s bps", "kbit/s": "kbit/s kbps Kbps", "Mbit/s": "Mbit/s Mbps", "Gbit/s": "Gbit/s Gbps Gbit",
    "MB/s": "MB/s", "GB/s": "GB/s", "kB/s": "kB/s KB/s",
    "km/h": "km/h kph", "mph": "mph", "m/s": "m/s", "kn": "kn",
    "mmol/L": "mmol/L mmol/l", "µmol/L": "µmol/L µmol/l umol/L", "mg/dL": "mg/dL mg/dl", "g/dL": "g/dL g/dl",
    "mg/L": "mg/L mg/l", "mg/kg": "mg/kg", "IU": "IU", "U/L": "U/L", "ppm": "ppm", "px": "px", "dpi": "dpi", "fps": "fps",
}  # fmt: skip
_UNITS_WORDS = {
    "mm": "millimetre millimetres millimeter millimeters", "cm": "centimetre centimetres centimeter centimeters",
    "m": "metre metres meter meters metern", "km": "kilometre kilometres kilometer kilometers",
    "ft": "foot feet", "in": "inch inches", "yd": "yard yards", "mi": "mile miles",
    "m2": "quadratmeter", "ha": "hectare hectares hektar", "acre": "acre acres",
    "mg": "milligram milligrams", "g": "gram grams gramm", "kg": "kilogram kilograms kilogramm kilo kilos",
    "µg": "microgram micrograms", "lb": "pound-mass", "oz": "ounce ounces", "t": "ton tons tonne tonnes tonnen",
    "ml": "millilitre millilitres milliliter milliliters", "l": "litre litres liter liters litern",
    "gal": "gallon gallons", "W": "watt watts", "kW": "kilowatt kilowatts", "MW": "megawatt megawatts",
    "GW": "gigawatt gigawatts", "kWh": "kilowatt-hour kilowatt-hours", "V": "volt volts", "Hz": "hertz",
    "B": "byte bytes", "kB": "kilobyte kilobytes", "MB": "megabyte megabytes", "GB": "gigabyte gigabytes",
    "TB": "terabyte terabytes", "bit": "bit bits", "°": "degree degrees grad", "°C": "celsius", "°F": "fahrenheit",
    "px": "pixel pixels", "dB": "decibel decibels",
}  # fmt: skip
_DURATIONS_CASED = {"ns": "ns", "µs": "µs μs us", "ms": "ms msec", "s": "s sec secs", "min": "min mins", "h": "h hr hrs"}
_DURATIONS_WORDS = {
    "ns": "nanosecond nanoseconds", "µs": "microsecond microseconds", "ms": "millisecond milliseconds",
    "s": "second seconds sekunde sekunden seconde secondes segundos secondi",
    "min": "minute minutes minuten minuto minutos minuti", "h": "hour hours stunde stunden heure heures hora horas ore",
    "day": "day days tag tage tagen jour jours día días giorni dagen",
    "week": "week weeks woche wochen semaine semaines semana semanas settimane weken",
    "fortnight": "fortnight fortnights", "month": "month months monat monate monaten mois mes meses mesi maanden",
    "quarter": "quarter quarters", "year": "year years yr yrs jahr jahre jahren an ans année années año años anni jaar",
    "decade": "decade decades", "century": "century centuries",
}  # fmt: skip


def _spellings(table: dict[str, str]) -> dict[str, str]:
    return {spelling: unit for unit, spellings in table.items() for spelling in spellings.split()}


UNITS_CASED = _spellings(_UNITS_CASED)
UNITS_WORDS = _spellings(_UNITS_WORDS)
DURATIONS_CASED = _spellings(_DURATIONS_CASED)
DURATIONS_WORDS = _spellings(_DURATIONS_WORDS)
DURATION_UNITS = frozenset(DURATIONS_CASED.values()) | frozenset(DURATIONS_WORDS.values())
PERCENT = {"%": "%", "‰": "‰", "percent": "%", "pct": "%", "prozent": "%", "procent": "%", "pp": "pp"}

NUMBER_WORDS = {
    word: value
    for value, words in {
        0: "zero", 1: "one", 2: "two zwei deux dos due twee två", 3: "three drei trois tres drie", 4: "four vier quatre cuatro",
        5: "five fünf cinq cinco", 6: "six sechs", 7: "seven sieben sept siete", 8: "eight acht huit ocho",
        9: "nine neun neuf nueve", 10: "ten zehn dix diez", 11: "eleven elf onze once", 12: "twelve zwölf douze doce dozen",
        13: "thirteen dreizehn", 14: "fourteen vierzehn", 15: "fifteen fünfzehn", 16: "sixteen sechzehn",
        17: "seventeen siebzehn", 18: "eighteen achtzehn", 19: "nineteen neunzehn", 20: "twenty zwanzig",
        30: "thirty dreißig", 40: "forty vierzig", 50: "fifty fünfzig", 60: "sixty sechzig", 70: "seventy siebzig",
        80: "eighty achtzig", 90: "ninety neunzig",
    }.items()
    for word in words.split()
}  # fmt: skip
# Words that count in one language and mean something else in English: never a number on their own.
AMBIGUOUS_NUMBER_WORDS = frozenset({"one", "once", "elf", "due", "dos", "tres", "sept", "six-pack", "dix"})
