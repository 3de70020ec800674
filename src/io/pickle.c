// The pickle machine: a stack, a memo, and the few opcodes that plain data takes.
//
// Every opcode makes at most one value and pushes at most once, so the number of bytes bounds the
// values, the stack and (each pushed value enters one container at most) the containers' items.
#include "vitrain/io/pickle.h"

#include "vitrain/base/bytes.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 24 };

typedef enum global_kind { IS_DICT, IS_IGNORED, IS_TENSOR, IS_PARAMETER, IS_STORAGE } global_kind;

typedef struct vt_pickle_global {
    const char *module, *name;
    global_kind kind;
    vt_dtype dtype; // of a storage
} vt_pickle_global;

static const vt_pickle_global globals[] = {
    {"collections", "OrderedDict", IS_DICT, 0},
    {"argparse", "Namespace", IS_IGNORED, 0},
    {"torch._utils", "_rebuild_tensor_v2", IS_TENSOR, 0},
    {"torch._utils", "_rebuild_parameter", IS_PARAMETER, 0},
    {"torch", "DoubleStorage", IS_STORAGE, VT_F64},
    {"torch", "FloatStorage", IS_STORAGE, VT_F32},
    {"torch", "HalfStorage", IS_STORAGE, VT_F16},
    {"torch", "BFloat16Storage", IS_STORAGE, VT_BF16},
    {"torch", "LongStorage", IS_STORAGE, VT_I64},
    {"torch", "IntStorage", IS_STORAGE, VT_I32},
    {"torch", "ShortStorage", IS_STORAGE, VT_I16},
    {"torch", "CharStorage", IS_STORAGE, VT_I8},
    {"torch", "ByteStorage", IS_STORAGE, VT_U8},
    {"torch", "BoolStorage", IS_STORAGE, VT_BOOL},
};

struct vt_pickle {
    const unsigned char *bytes, *at, *end;
    size_t count;
    vt_pickle_value *values; // (count)
    vt_pickle_item *items;   // (count)
    vt_pickle_value **stack; // (count)
    vt_pickle_value **memo;  // (count), NULL where nothing was put
    size_t n_values, n_items, n_stack, n_memo;
};

static vt_status broken(const vt_pickle *p, const char *what)
{
    vt_fail(VT_ERR_FORMAT, "pickle, byte %zu: %s", (size_t)(p->at - p->bytes), what);
    return VT_ERR_FORMAT; // a constant, so that the compiler sees outputs set where there is no
                          // error
}

// ---- bytes ----

static vt_status take(vt_pickle *p, size_t n, const unsigned char **out)
{
    if (n > (size_t)(p->end - p->at)) return broken(p, "truncated");
    *out = p->at;
    p->at += n;
    return VT_OK;
}

// A little-endian number of n <= 8 bytes.
static vt_status take_number(vt_pickle *p, size_t n, uint64_t *out)
{
    const unsigned char *b;
    VT_TRY(take(p, n, &b));
    *out = 0;
    for (size_t i = 0; i < n; i++) *out |= (uint64_t)b[i] << (8 * i);
    return VT_OK;
}

static vt_status take_line(vt_pickle *p, const char **text, size_t *length)
{
    const unsigned char *end = memchr(p->at, '\n', (size_t)(p->end - p->at));
    if (!end) return broken(p, "truncated");
    *text = (const char *)p->at;
    *length = (size_t)(end - p->at);
    p->at = end + 1;
    return VT_OK;
}

// ---- stack ----

static vt_pickle_value *push(vt_pickle *p, vt_pickle_type type)
{
    vt_pickle_value *value = &p->values[p->n_values++];
    value->type = type;
    return p->stack[p->n_stack++] = value;
}

static vt_status pop(vt_pickle *p, vt_pickle_value **out)
{
    if (p->n_stack == 0 || p->stack[p->n_stack - 1]->type == VT_PICKLE_MARK)
        return broken(p, "nothing on the stack");
    *out = p->stack[--p->n_stack];
    return VT_OK;
}

static vt_status top(vt_pickle *p, vt_pickle_type type, vt_pickle_value **out)
{
    if (p->n_stack == 0 || p->stack[p->n_stack - 1]->type != type)
        return broken(p, "not the container that this is to be put into");
    *out = p->stack[p->n_stack - 1];
    return VT_OK;
}

// Everything above the last mark, which goes too: *first is its place in the stack.
static vt_status pop_to_mark(vt_pickle *p, size_t *first, size_t *n)
{
    size_t at = p->n_stack;
    while (at > 0 && p->stack[at - 1]->type != VT_PICKLE_MARK) at--;
    if (at == 0) return broken(p, "no mark on the stack");
    *first = at;
    *n = p->n_stack - at;
    p->n_stack = at - 1;
    return VT_OK;
}

static void append(vt_pickle *p, vt_pickle_value *container, const vt_pickle_value *value)
{
    vt_pickle_item *item = &p->items[p->n_items++];
    item->value = value;
    if (container->last)
        container->last->next = item;
    else
        container->first = item;
    container->last = item;
}

// Takes the values above the mark as the items of the container below it.
static vt_status extend(vt_pickle *p, vt_pickle_type type)
{
    size_t first, n;
    vt_pickle_value *container;
    VT_TRY(pop_to_mark(p, &first, &n));
    VT_TRY(top(p, type, &container));
    if (type == VT_PICKLE_DICT && n % 2) return broken(p, "a key without a value");
    for (size_t i = 0; i < n; i++) append(p, container, p->stack[first + i]);
    return VT_OK;
}

static vt_status extend_one(vt_pickle *p, vt_pickle_type type, int n)
{
    vt_pickle_value *values[2], *container;
    for (int i = n - 1; i >= 0; i--) VT_TRY(pop(p, &values[i]));
    VT_TRY(top(p, type, &container));
    for (int i = 0; i < n; i++) append(p, container, values[i]);
    return VT_OK;
}

static vt_status tuple_of_marked(vt_pickle *p)
{
    size_t first, n;
    vt_pickle_value tuple = {.type = VT_PICKLE_TUPLE};
    VT_TRY(pop_to_mark(p, &first, &n));
    for (size_t i = 0; i < n; i++) append(p, &tuple, p->stack[first + i]);
    *push(p, VT_PICKLE_TUPLE) = tuple;
    return VT_OK;
}

static vt_status tuple_of(vt_pickle *p, int n)
{
    vt_pickle_value *values[3], tuple = {.type = VT_PICKLE_TUPLE};
    for (int i = n - 1; i >= 0; i--) VT_TRY(pop(p, &values[i]));
    for (int i = 0; i < n; i++) append(p, &tuple, values[i]);
    *push(p, VT_PICKLE_TUPLE) = tuple;
    return VT_OK;
}

// ---- memo ----

static vt_status put(vt_pickle *p, uint64_t slot)
{
    if (slot >= p->count || p->n_stack == 0) return broken(p, "memo out of range");
    p->memo[slot] = p->stack[p->n_stack - 1];
    return VT_OK;
}

static vt_status recall(vt_pickle *p, uint64_t slot)
{
    if (slot >= p->count || !p->memo[slot]) return broken(p, "nothing in this place of the memo");
    p->stack[p->n_stack++] = p->memo[slot];
    return VT_OK;
}

// ---- globals ----

static bool is_text(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

static vt_status push_global(vt_pickle *p, const char *module, size_t m, const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
        if (!is_text(module, m, globals[i].module) || !is_text(name, n, globals[i].name)) continue;
        push(p, VT_PICKLE_GLOBAL)->global = &globals[i];
        return VT_OK;
    }
    return vt_fail(VT_ERR_UNSUPPORTED,
                   "pickle: holds a %.*s.%.*s; only tensors and plain data are read: in Python, "
                   "torch.save(torch.load(OLD)[\"model\"], NEW) leaves the weights alone",
                   m < 80 ? (int)m : 80, module, n < 80 ? (int)n : 80, name);
}

static vt_status global_of_lines(vt_pickle *p)
{
    const char *module, *name;
    size_t m, n;
    VT_TRY(take_line(p, &module, &m));
    VT_TRY(take_line(p, &name, &n));
    return push_global(p, module, m, name, n);
}

static vt_status global_of_stack(vt_pickle *p)
{
    vt_pickle_value *module, *name;
    VT_TRY(pop(p, &name));
    VT_TRY(pop(p, &module));
    if (module->type != VT_PICKLE_STRING || name->type != VT_PICKLE_STRING)
        return broken(p, "a global's name that is no string");
    return push_global(p, module->text, module->length, name->text, name->length);
}

// What a call of a global would give.
static vt_status reduce(vt_pickle *p)
{
    vt_pickle_value *arguments, *callee;
    VT_TRY(pop(p, &arguments));
    VT_TRY(pop(p, &callee));
    if (callee->type != VT_PICKLE_GLOBAL || arguments->type != VT_PICKLE_TUPLE)
        return broken(p, "a call of what cannot be called");
    switch (callee->global->kind) {
    case IS_DICT:
        if (arguments->first) return broken(p, "an OrderedDict with arguments");
        push(p, VT_PICKLE_DICT);
        return VT_OK;
    case IS_IGNORED: push(p, VT_PICKLE_OBJECT); return VT_OK;
    case IS_TENSOR: push(p, VT_PICKLE_TENSOR)->first = arguments->first; return VT_OK;
    case IS_PARAMETER:
        if (!arguments->first || arguments->first->value->type != VT_PICKLE_TENSOR)
            return broken(p, "a parameter without a tensor");
        *push(p, VT_PICKLE_TENSOR) = *arguments->first->value;
        return VT_OK;
    case IS_STORAGE: break;
    }
    return broken(p, "a call of a storage's type");
}

// A state (an OrderedDict's attributes, a Namespace's) is of no interest.
static vt_status build(vt_pickle *p)
{
    vt_pickle_value *state;
    VT_TRY(pop(p, &state));
    if (p->n_stack == 0) return broken(p, "nothing on the stack");
    const vt_pickle_type type = p->stack[p->n_stack - 1]->type;
    if (type != VT_PICKLE_DICT && type != VT_PICKLE_OBJECT)
        return broken(p, "a state of what has none");
    return VT_OK;
}

static vt_status persistent(vt_pickle *p)
{
    vt_pickle_value *id;
    VT_TRY(pop(p, &id));
    if (id->type != VT_PICKLE_TUPLE) return broken(p, "a persistent id that is no tuple");
    push(p, VT_PICKLE_STORAGE)->first = id->first;
    return VT_OK;
}

// ---- numbers and strings ----

static vt_status push_int(vt_pickle *p, size_t n, bool is_signed)
{
    uint64_t raw;
    if (n > 8) return broken(p, "an integer of more than 64 bits");
    VT_TRY(take_number(p, n, &raw));
    if (is_signed && n > 0 && n < 8 && raw >> (8 * n - 1)) raw |= ~UINT64_C(0) << (8 * n);
    push(p, VT_PICKLE_INT)->whole = (int64_t)raw;
    return VT_OK;
}

static vt_status push_long(vt_pickle *p)
{
    uint64_t n;
    VT_TRY(take_number(p, 1, &n));
    return push_int(p, (size_t)n, true);
}

static vt_status push_float(vt_pickle *p)
{
    const unsigned char *b;
    VT_TRY(take(p, 8, &b));
    const uint64_t raw = (uint64_t)vt_be32(b) << 32 | vt_be32(b + 4);
    memcpy(&push(p, VT_PICKLE_FLOAT)->real, &raw, sizeof raw);
    return VT_OK;
}

static vt_status push_string(vt_pickle *p, size_t length_bytes)
{
    uint64_t n;
    const unsigned char *text;
    VT_TRY(take_number(p, length_bytes, &n));
    VT_TRY(take(p, (size_t)n, &text));
    vt_pickle_value *value = push(p, VT_PICKLE_STRING);
    value->text = (const char *)text;
    value->length = (size_t)n;
    return VT_OK;
}

static vt_status push_bool(vt_pickle *p, bool value)
{
    push(p, VT_PICKLE_BOOL)->whole = value;
    return VT_OK;
}

static vt_status push_empty(vt_pickle *p, vt_pickle_type type)
{
    push(p, type);
    return VT_OK;
}

// ---- the machine ----

static vt_status memo_number(vt_pickle *p, size_t bytes, vt_status (*use)(vt_pickle *, uint64_t))
{
    uint64_t slot;
    VT_TRY(take_number(p, bytes, &slot));
    return use(p, slot);
}

static vt_status skip(vt_pickle *p, size_t n)
{
    const unsigned char *ignored;
    return take(p, n, &ignored);
}

static vt_status execute(vt_pickle *p, unsigned char opcode)
{
    switch (opcode) {
    case 0x80: return skip(p, 1); // PROTO
    case 0x95: return skip(p, 8); // FRAME
    case '(': return push_empty(p, VT_PICKLE_MARK);
    case 'N': return push_empty(p, VT_PICKLE_NONE);
    case '}': return push_empty(p, VT_PICKLE_DICT);
    case ']': return push_empty(p, VT_PICKLE_LIST);
    case ')': return push_empty(p, VT_PICKLE_TUPLE);
    case 0x88: return push_bool(p, true);
    case 0x89: return push_bool(p, false);
    case 'J': return push_int(p, 4, true);
    case 'K': return push_int(p, 1, false);
    case 'M': return push_int(p, 2, false);
    case 0x8a: return push_long(p); // LONG1
    case 'G': return push_float(p);
    case 'X': return push_string(p, 4);  // BINUNICODE
    case 0x8c: return push_string(p, 1); // SHORT_BINUNICODE
    case 0x8d: return push_string(p, 8); // BINUNICODE8
    case 't': return tuple_of_marked(p);
    case 0x85: return tuple_of(p, 1);
    case 0x86: return tuple_of(p, 2);
    case 0x87: return tuple_of(p, 3);
    case 'a': return extend_one(p, VT_PICKLE_LIST, 1);
    case 'e': return extend(p, VT_PICKLE_LIST);
    case 's': return extend_one(p, VT_PICKLE_DICT, 2);
    case 'u': return extend(p, VT_PICKLE_DICT);
    case 'c': return global_of_lines(p);
    case 0x93: return global_of_stack(p);
    case 'R':
    case 0x81: return reduce(p); // NEWOBJ: a class called with arguments
    case 'b': return build(p);
    case 'Q': return persistent(p);
    case 'q': return memo_number(p, 1, put);
    case 'r': return memo_number(p, 4, put);
    case 0x94: return put(p, p->n_memo++); // MEMOIZE
    case 'h': return memo_number(p, 1, recall);
    case 'j': return memo_number(p, 4, recall);
    default: break;
    }
    return vt_fail(VT_ERR_UNSUPPORTED, "pickle, byte %zu: opcode 0x%02x is not one of plain data",
                   (size_t)(p->at - p->bytes - 1), opcode);
}

static vt_status run(vt_pickle *p)
{
    while (p->at < p->end) {
        const unsigned char opcode = *p->at++;
        if (opcode != '.') {
            VT_TRY(execute(p, opcode));
        } else if (p->n_stack == 1 && p->stack[0]->type != VT_PICKLE_MARK) {
            return VT_OK;
        } else {
            return broken(p, "ends with other than one value on the stack");
        }
    }
    return broken(p, "truncated");
}

vt_status vt_pickle_read(vt_pickle **out, const unsigned char *bytes, size_t count)
{
    VT_REQUIRE(count > 0 && count <= MAX_BYTES, VT_ERR_FORMAT,
               "pickle of %zu bytes, expected 1 to %d", count, MAX_BYTES);
    vt_pickle *p = calloc(1, sizeof *p);
    VT_REQUIRE(p, VT_ERR_MEMORY, "out of memory");
    p->bytes = p->at = bytes;
    p->end = bytes + count;
    p->count = count;
    p->values = calloc(count, sizeof *p->values);
    p->items = calloc(count, sizeof *p->items);
    p->stack = calloc(count, sizeof *p->stack);
    p->memo = calloc(count, sizeof *p->memo);
    vt_status status = p->values && p->items && p->stack && p->memo
                           ? run(p)
                           : vt_fail(VT_ERR_MEMORY, "out of memory for a pickle");
    if (status == VT_OK)
        *out = p;
    else
        vt_pickle_destroy(p);
    return status;
}

void vt_pickle_destroy(vt_pickle *pickle)
{
    if (!pickle) return;
    free(pickle->values);
    free(pickle->items);
    free(pickle->stack);
    free(pickle->memo);
    free(pickle);
}

const vt_pickle_value *vt_pickle_root(const vt_pickle *pickle)
{
    return pickle->stack[0];
}

const vt_pickle_value *vt_pickle_get(const vt_pickle_value *dict, const char *key)
{
    if (!dict || dict->type != VT_PICKLE_DICT) return NULL;
    for (const vt_pickle_item *k = dict->first; k; k = k->next->next)
        if (k->value->type == VT_PICKLE_STRING && is_text(k->value->text, k->value->length, key))
            return k->next->value;
    return NULL;
}

vt_status vt_pickle_dtype(vt_dtype *out, const vt_pickle_value *global)
{
    VT_REQUIRE(global->type == VT_PICKLE_GLOBAL && global->global->kind == IS_STORAGE,
               VT_ERR_FORMAT, "a storage without a type");
    *out = global->global->dtype;
    return VT_OK;
}
