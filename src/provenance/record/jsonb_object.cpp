// Flat jsonb objects (see jsonb_object.hpp). Backends; inside pg::call.
#include "provenance/record/jsonb_object.hpp"

#include "pg/guard.hpp"

namespace dbnet::provenance {
namespace {

size_t aligned(size_t offset) noexcept {
    return (offset + 3) & ~static_cast<size_t>(3);
}

JEntry type_of(const JsonbField &field) noexcept {
    switch (field.kind) {
    case JsonbField::Kind::string:
        return JENTRY_ISSTRING;
    case JsonbField::Kind::numeric:
        return JENTRY_ISNUMERIC;
    case JsonbField::Kind::container:
        return JENTRY_ISCONTAINER;
    case JsonbField::Kind::boolean:
        return field.boolean ? JENTRY_ISBOOL_TRUE : JENTRY_ISBOOL_FALSE;
    case JsonbField::Kind::null:
        break;
    }
    return JENTRY_ISNULL;
}

bool is_aligned(const JsonbField &field) noexcept {
    return field.kind == JsonbField::Kind::numeric || field.kind == JsonbField::Kind::container;
}

uint32 size_of(const JsonbField &field) noexcept {
    return field.kind == JsonbField::Kind::null || field.kind == JsonbField::Kind::boolean ? 0 : field.length;
}

// Every JB_OFFSET_STRIDE'th entry holds where its value ends, the others how long it is.
JEntry entry(JEntry type, size_t length, size_t end, int place) noexcept {
    return type |
           (place % JB_OFFSET_STRIDE == 0 ? static_cast<JEntry>(end) | JENTRY_HAS_OFF : static_cast<JEntry>(length));
}

} // namespace

void JsonbField::set(const Jsonb *document) {
    const JsonbContainer &root = document->root;
    if ((root.header & JB_FSCALAR) == 0) {
        kind = Kind::container;
        bytes = reinterpret_cast<const char *>(&root);
        length = VARSIZE(document) - VARHDRSZ;
        return;
    }
    const JsonbValue *scalar = getIthJsonbValueFromContainer(const_cast<JsonbContainer *>(&root), 0);
    switch (scalar->type) {
    case jbvString:
        return set(std::string_view(scalar->val.string.val, scalar->val.string.len));
    case jbvNumeric:
        return set(scalar->val.numeric);
    case jbvBool:
        return set(scalar->val.boolean);
    default:
        kind = Kind::null;
    }
}

Jsonb *make_object(const JsonbField *fields, int count) {
    // Sizes first. Offsets are counted from the start of the members' data; the alignment of that start is the
    // varlena's.
    const size_t header = VARHDRSZ + sizeof(uint32) + sizeof(JEntry) * 2 * count;
    size_t size = 0;
    for (int index = 0; index < count; ++index)
        size += fields[index].name.size();
    for (int index = 0; index < count; ++index)
        size = (is_aligned(fields[index]) ? aligned(header + size) - header : size) + size_of(fields[index]);
    if (size > JENTRY_OFFLENMASK)
        throw pg::error(ERRCODE_PROGRAM_LIMIT_EXCEEDED, "a row is too large to be recorded");

    auto *object = static_cast<Jsonb *>(palloc(header + size));
    SET_VARSIZE(object, header + size);
    object->root.header = static_cast<uint32>(count) | JB_FOBJECT;
    JEntry *entries = object->root.children;
    char *const data = reinterpret_cast<char *>(object) + header;
    size_t end = 0;
    for (int index = 0; index < count; ++index) {
        const std::string_view name = fields[index].name;
        memcpy(data + end, name.data(), name.size());
        end += name.size();
        entries[index] = entry(JENTRY_ISSTRING, name.size(), end, index);
    }
    for (int index = 0; index < count; ++index) {
        const JsonbField &field = fields[index];
        const size_t start = end;
        if (is_aligned(field))
            for (const size_t to = aligned(header + end) - header; end < to; ++end)
                data[end] = '\0';
        if (const uint32 length = size_of(field); length > 0) {
            memcpy(data + end, field.bytes, length);
            end += length;
        }
        entries[count + index] = entry(type_of(field), end - start, end, count + index);
    }
    return object;
}

JsonbField member(const Jsonb *object, std::string_view name) {
    JsonbField field;
    field.name = name;
    JsonbValue value;
    if (getKeyJsonValueFromContainer(const_cast<JsonbContainer *>(&object->root), name.data(),
                                     static_cast<int>(name.size()), &value) == nullptr)
        return field;
    switch (value.type) {
    case jbvString:
        field.set(std::string_view(value.val.string.val, value.val.string.len));
        break;
    case jbvNumeric:
        field.set(value.val.numeric);
        break;
    case jbvBool:
        field.set(value.val.boolean);
        break;
    case jbvBinary:
        field.kind = JsonbField::Kind::container;
        field.bytes = reinterpret_cast<const char *>(value.val.binary.data);
        field.length = static_cast<uint32>(value.val.binary.len);
        break;
    default:
        break;
    }
    return field;
}

} // namespace dbnet::provenance
