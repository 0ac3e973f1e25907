// Fuzz target of what is kept of an object that a server showed: two JSON parsers agree about it, and the text that is
// kept without being parsed again says what the parsed object says.
#include "kubernetes/failure.hpp"
#include "kubernetes/json_access.hpp"
#include "mirror/decision/observed.hpp"

#include <cstdint>
#include <cstdlib>

namespace {

using dbnet::mirror::Json;

dbnet::mirror::Mapping mapping() {
    using namespace dbnet::mirror;
    Mapping result;
    for (const auto &[path, role] : {std::pair{"metadata.name", Role::key},
                                     {"metadata.labels", Role::meta},
                                     {"spec.x", Role::spec},
                                     {"status.conditions[type=Ready].status", Role::status}}) {
        Column column;
        column.name = column.path = path;
        column.field = dbnet::kubernetes::FieldPath::parse(path);
        column.role = role;
        column.type = ValueType::json;
        result.columns.push_back(std::move(column));
    }
    return result;
}

Json without_managed_fields(Json body) {
    if (body.contains("metadata") && body["metadata"].is_object())
        body["metadata"].erase("managedFields");
    return body;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    static const dbnet::mirror::Mapping columns = mapping();
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    const Json body = dbnet::kubernetes::parse_json(text);
    const Json other = Json::parse(text, nullptr, false);
    if (body.is_discarded()) {
        if (!other.is_discarded() && size < 1000) // else it may be nested too deep
            std::abort();
        return 0;
    }
    if (body != other)
        std::abort();
    try {
        const auto seen = dbnet::mirror::observe(body, text, columns, "m");
        const Json live = Json::parse(seen.live, nullptr, false);
        if (live.is_discarded() ||
            without_managed_fields(live) != dbnet::mirror::storable(without_managed_fields(body)))
            std::abort();
    } catch (const dbnet::kubernetes::Failure &) {
    }
    return 0;
}
