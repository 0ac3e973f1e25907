// Fuzz target of a row's values as JSON: in every type and format a column may have, a value is taken or there is a
// reason, and what is taken equals itself and can be stored.
#include "kubernetes/json_access.hpp"
#include "mirror/values/mapping.hpp"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace dbnet::mirror;
    const Json value = dbnet::kubernetes::parse_json({reinterpret_cast<const char *>(data), size});
    if (value.is_discarded())
        return 0;
    Column column;
    column.name = "c";
    column.path = "spec.x";
    column.field = dbnet::kubernetes::FieldPath::parse(column.path);
    for (const ValueType type : {ValueType::string, ValueType::integer, ValueType::number, ValueType::boolean,
                                 ValueType::json, ValueType::time, ValueType::quantity, ValueType::int_or_string})
        for (const char *format : {"", "int32", "int64", "double", "date-time", "micro-time", "byte"}) {
            column.type = type;
            column.format = format;
            const auto result = to_object_form(column, value);
            if (const auto *error = std::get_if<ValueError>(&result)) {
                if (error->path != column.path)
                    std::abort();
                continue;
            }
            const auto &taken = std::get<std::optional<Json>>(result);
            if (!taken)
                continue;
            if (!same_value(column, &*taken, &*taken) || !has_effect(column, &*taken, &*taken))
                std::abort();
            storable(*taken);
        }
    return 0;
}
