/* Part of amqpload: values of AMQP 1.0 and frames, as far as it needs them. Included once, behind material.h. */

enum { MAX_FIELDS = 12 };

/* ---- writing types, §1.6 ------------------------------------------------------------------------------------------ */

static void put_u32(Buffer *out, uint32_t value)
{
    put(out, (uint8_t[]){(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value}, 4);
}

static void put_uint(Buffer *out, uint32_t value)
{
    put_byte(out, 0x70);
    put_u32(out, value);
}

/* Text, symbol or binary: `small` is the constructor for up to 255 bytes, the one for more is 0x10 above. */
static void put_variable(Buffer *out, unsigned small, const void *bytes, size_t size)
{
    put_byte(out, size < 256 ? small : small + 0x10);
    if (size < 256) put_byte(out, (unsigned)size);
    else put_u32(out, (uint32_t)size);
    put(out, bytes, size);
}

static void put_string(Buffer *out, const char *text)
{
    put_variable(out, 0xa1, text, strlen(text));
}

static void put_symbol(Buffer *out, const char *text)
{
    put_variable(out, 0xa3, text, strlen(text));
}

static void put_described(Buffer *out, unsigned code)
{
    put(out, (uint8_t[]){0, 0x53, (uint8_t)code}, 3);
}

/* A list or map of so many elements; its size is filled in by `end_compound`. */
static size_t begin_compound(Buffer *out, unsigned constructor, uint32_t count)
{
    put_byte(out, constructor);
    size_t at = out->end;
    put_u32(out, 0);
    put_u32(out, count);
    return at;
}

static void set_u32(Buffer *out, size_t at, uint32_t value)
{
    for (int i = 0; i < 4; i++) out->bytes[at + (size_t)i] = (uint8_t)(value >> (24 - 8 * i));
}

static void end_compound(Buffer *out, size_t at)
{
    set_u32(out, at, (uint32_t)(out->end - at - 4));
}

typedef struct {
    size_t frame, list;
} Place;

static Place begin_frame(Buffer *out, unsigned type, unsigned performative, uint32_t fields)
{
    Place place = {.frame = out->end};
    put(out, (uint8_t[]){0, 0, 0, 0, 2, (uint8_t)type, 0, 0}, 8);
    put_described(out, performative);
    place.list = begin_compound(out, 0xd0, fields);
    return place;
}

static void end_frame(Buffer *out, Place place)
{
    end_compound(out, place.list);
    set_u32(out, place.frame, (uint32_t)(out->end - place.frame));
}

static void put_nulls(Buffer *out, int count)
{
    while (count--) put_byte(out, 0x40);
}

/* ---- reading types ------------------------------------------------------------------------------------------------ */

typedef struct {
    const uint8_t *at, *end;
} Reader;

static uint32_t u32_at(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Pass over one value; false if the bytes end before. */
static bool skip(Reader *reader)
{
    static const uint8_t widths[16] = {[5] = 1, [6] = 2, [7] = 4, [8] = 8, [9] = 16};
    if (reader->at >= reader->end) return false;
    unsigned constructor = *reader->at++;
    if (!constructor) return skip(reader) && skip(reader);
    size_t size = widths[constructor >> 4], left = (size_t)(reader->end - reader->at);
    if (constructor >= 0xa0) {
        bool wide = constructor >> 4 & 1;
        if (left < (wide ? 4 : 1)) return false;
        size = wide ? u32_at(reader->at) + 4ull : reader->at[0] + 1ull;
    }
    if (left < size) return false;
    reader->at += size;
    return true;
}

typedef struct {
    uint32_t value;
    bool given;
} Number;

/* A boolean, ubyte, ushort, uint or small ulong; of a described value its descriptor. Anything else counts as not given. */
static Number number_at(const uint8_t *at)
{
    switch (at[0]) {
    case 0x00: return number_at(at + 1);
    case 0x41: return (Number){1, true};
    case 0x42: case 0x43: case 0x44: return (Number){0, true};
    case 0x50: case 0x52: case 0x53: case 0x56: return (Number){at[1], true};
    case 0x60: return (Number){(uint32_t)at[1] << 8 | at[2], true};
    case 0x70: return (Number){u32_at(at + 1), true};
    default: return (Number){0, false};
    }
}

/* The fields of a list as numbers, none of those behind its end. */
static bool read_fields(Reader reader, Number fields[MAX_FIELDS])
{
    memset(fields, 0, MAX_FIELDS * sizeof *fields);
    if (reader.at >= reader.end) return false;
    unsigned constructor = *reader.at++;
    if (constructor == 0x45) return true;
    size_t width = constructor == 0xc0 ? 1 : 4;
    if ((constructor != 0xc0 && constructor != 0xd0) || (size_t)(reader.end - reader.at) < 2 * width) return false;
    uint32_t count = width == 1 ? reader.at[1] : u32_at(reader.at + 4);
    reader.at += 2 * width;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *at = reader.at;
        if (!skip(&reader)) return false;
        if (i < MAX_FIELDS) fields[i] = number_at(at);
    }
    return true;
}
