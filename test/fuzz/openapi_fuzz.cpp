// Fuzz target of OpenAPI documents and of the index of documents. The input is a document whose kind is Kind of v1.
// What is made of it holds: columns of a table have names of their own that PostgreSQL takes, rules read back.
#include "kubernetes/schema/openapi.hpp"
#include "mirror/definition/table_plan.hpp"
#include "mirror/values/value_rules.hpp"

#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>

namespace {

void make_table(const dbnet::kubernetes::Schema &schema) {
    std::set<std::string> names;
    for (const auto &column : dbnet::mirror::plan_table({&schema, true}).columns)
        if (column.name.empty() || column.name.size() > 63 || !names.insert(column.name).second)
            std::abort();
}

void check_values(const dbnet::kubernetes::Schema &schema) {
    static const auto &value = *new auto(nlohmann::json::parse(
        R"({"spec": {"a": 5, "list": [{"name": "a", "x": {"y/z": 1e300}}, "100m", true]}, "status": [null]})"));
    const auto rules = dbnet::mirror::ValueRules::parse(schema.rules({}).dump());
    if (!rules)
        return;
    rules->check(value);
    if (!rules->same(value, value) || !rules->covers(value, value))
        std::abort();
}

// Every declared field down to a depth, so that references in circles are followed.
void visit(const dbnet::kubernetes::Schema &schema, const dbnet::kubernetes::FieldPath &path, int &budget) {
    for (const auto &[name, field] : schema.children(path))
        if (--budget > 0 && path.segments().size() < 6)
            visit(schema, path.child(name), budget);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace dbnet::kubernetes;
    const std::string_view body(reinterpret_cast<const char *>(data), size);
    try {
        openapi_path(body, "apps", "v1");
    } catch (const Failure &) {
    }
    try {
        const Schema schema = OpenApiDocument::parse(body).schema("", "v1", "Kind");
        make_table(schema);
        check_values(schema);
        int budget = 100;
        visit(schema, {}, budget);
        schema.at(FieldPath::parse("spec.list[name=a].x[\"y/z\"]"));
    } catch (const Failure &) {
    }
    return 0;
}
