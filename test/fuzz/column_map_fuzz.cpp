// Fuzz target of column maps: any text as the map. Nothing but ColumnMapError comes out; what is accepted names
// existing columns, has one key, and paths that read back as they were.
#include "mirror/definition/column_map.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace {

using namespace dbnet::mirror;

constexpr const char *document = R"({"components": {"schemas": {"Thing": {"type": "object",
  "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "Thing"}],
  "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string"},
      "labels": {"type": "object", "additionalProperties": {"type": "string"}}}},
    "spec": {"type": "object", "properties": {"size": {"type": "integer", "format": "int32"},
      "free": {"x-kubernetes-preserve-unknown-fields": true},
      "rules": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        "items": {"type": "object", "properties": {"name": {"type": "string"}}}}}}}}}}})";

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    static const auto &parsed = *new auto(dbnet::kubernetes::OpenApiDocument::parse(document));
    const dbnet::kubernetes::Schema schema = parsed.schema("", "v1", "Thing");
    const std::vector<TableColumn> columns{{"name", "text", "text", 'S', true, false, false},
                                           {"labels", "jsonb", "jsonb", 'U', false, false, false},
                                           {"size", "integer", "integer", 'N', false, false, false}};
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    try {
        const ColumnMap map = build_column_map({text, "things", "Thing", &columns, &schema, false, ""});
        if (map.key_columns.size() != 1)
            std::abort();
        for (const Column &column : map.columns)
            if (std::ranges::find(columns, column.name, &TableColumn::name) == columns.end() ||
                dbnet::kubernetes::FieldPath::parse(column.path) != column.field)
                std::abort();
    } catch (const ColumnMapError &) {
    }
    return 0;
}
