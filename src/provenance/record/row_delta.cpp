// Differences of images (see row_delta.hpp). Backends; inside pg::call.
#include "provenance/record/row_delta.hpp"

namespace dbnet::provenance {
namespace {

bool is_same(const JsonbField &left, const JsonbField &right) noexcept {
    return left.kind == right.kind && left.boolean == right.boolean && left.length == right.length &&
           (left.length == 0 || memcmp(left.bytes, right.bytes, left.length) == 0);
}

// The names of an object, in its order; palloc'd.
struct Names {
    int count = 0;
    std::string_view *list = nullptr;
};

Names names_of(const Jsonb *object) {
    Names names;
    names.list = static_cast<std::string_view *>(palloc(sizeof(std::string_view) * (JB_ROOT_COUNT(object) + 1)));
    JsonbIterator *iterator = JsonbIteratorInit(const_cast<JsonbContainer *>(&object->root));
    JsonbValue value;
    for (JsonbIteratorToken token; (token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE;)
        if (token == WJB_KEY)
            names.list[names.count++] = std::string_view(value.val.string.val, value.val.string.len);
    return names;
}

} // namespace

ObjectDelta delta_between(const Jsonb *old_row, const Jsonb *new_row) {
    const Names left = names_of(old_row), right = names_of(new_row);
    const int most = left.count + right.count + 1;
    auto *old_fields = static_cast<JsonbField *>(palloc(sizeof(JsonbField) * most));
    auto *new_fields = static_cast<JsonbField *>(palloc(sizeof(JsonbField) * most));
    int count = 0;
    for (int from_left = 0, from_right = 0; from_left < left.count || from_right < right.count;) {
        const bool take_left = from_right == right.count ||
                               (from_left < left.count && !is_before(right.list[from_right], left.list[from_left]));
        const std::string_view name = take_left ? left.list[from_left] : right.list[from_right];
        from_right += from_right < right.count && right.list[from_right] == name ? 1 : 0;
        from_left += take_left ? 1 : 0;
        old_fields[count] = member(old_row, name);
        new_fields[count] = member(new_row, name);
        if (!is_same(old_fields[count], new_fields[count]))
            ++count;
    }
    return {make_object(old_fields, count), make_object(new_fields, count)};
}

} // namespace dbnet::provenance
