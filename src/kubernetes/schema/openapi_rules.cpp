// What a schema allows as values, without all it says to readers (see Schema::rules()). Runs in backends.
#include "kubernetes/schema/schema_layers.hpp"

namespace dbnet::kubernetes {

using nlohmann::json;

namespace {

// Far above any kind that is served; what lies beyond is not checked.
constexpr size_t most_nodes = 20'000;
constexpr int deepest = 100;

const char *time_type(const std::string &format) {
    return format == "date-time" ? "time" : format == "micro-time" ? "micro_time" : nullptr;
}

std::string type_name(const Layers &layers) {
    using Type = FieldSchema::Type;
    const std::string format = format_of(layers);
    switch (const Type type = type_of(layers)) {
    case Type::string:
        return time_type(format) != nullptr ? time_type(format) : "string";
    case Type::integer:
        return format == "int32" ? "int32" : "int64";
    case Type::int_or_string: // the built-in type holds 32 bits, a custom resource's field 64
        return format == "int-or-string" ? "int32_or_string" : "int64_or_string";
    default:
        return name(type);
    }
}

// Says nothing about values beside what it refers to.
bool is_bare_reference(const json &schema) {
    static constexpr const char *says_more[] = {"type",    "format",    "properties", "additionalProperties",
                                                "items",   "enum",      "pattern",    "minimum",
                                                "maximum", "minLength", "maxLength",  "x-kubernetes-int-or-string"};
    return std::none_of(std::begin(says_more), std::end(says_more),
                        [&](const char *key) { return schema.contains(key); });
}

class Writer {
public:
    explicit Writer(const json &schemas) : schemas_(schemas) {}

    json write(const json &schema) {
        json root = node(schema, 0);
        if (!named_.empty()) {
            if (root.is_string())
                root = {{"type", root}};
            root["named"] = std::move(named_);
        }
        return root;
    }

private:
    json node(const json &schema, int depth) {
        if (++nodes_ > most_nodes || depth > deepest || !schema.is_object())
            return "any";
        const std::string reference = sole_reference(schema);
        if (reference.empty())
            return described(Layers(schemas_, schema), depth);
        if (!named_.contains(reference)) {
            named_[reference] = "any"; // of one that contains itself
            named_[reference] = described(Layers(schemas_, schemas_[reference]), depth);
        }
        return {{"ref", reference}};
    }

    // The named structure that the schema stands for; empty when it is spelled out, or no structure.
    std::string sole_reference(const json &schema) const {
        const json *target = &schema;
        if (const json *all = array_member(&schema, "allOf"); all != nullptr && all->size() == 1)
            target = &all->front();
        const std::string reference = text_member(target, "$ref");
        if (!reference.starts_with(schemas_prefix) || !is_bare_reference(schema))
            return {};
        const std::string found = reference.substr(schemas_prefix.size());
        if (!schemas_.contains(found))
            return {};
        const FieldSchema::Type type = type_of(Layers(schemas_, schemas_[found]));
        return type == FieldSchema::Type::object || type == FieldSchema::Type::array ? found : std::string();
    }

    json described(const Layers &layers, int depth) {
        json result = json::object();
        copy_limits(layers, result);
        for (const std::string &field : layers.property_names())
            result["fields"][field] = node(*layers.property(field), depth + 1);
        if (const json *values = layers.find("additionalProperties"); values != nullptr && values->is_object())
            result["values"] = node(*values, depth + 1);
        if (const json *items = layers.find("items"))
            result["items"] = node(*items, depth + 1);
        for (const char *key : {"x-kubernetes-list-map-keys", "x-kubernetes-patch-merge-key"})
            if (const json *keys = layers.find(key); keys != nullptr && !result.contains("keys"))
                result["keys"] = keys->is_array() ? *keys : json::array({*keys});
        const std::string type = type_name(layers);
        if (result.empty())
            return type;
        result["type"] = type;
        return result;
    }

    static void copy_limits(const Layers &layers, json &result) {
        static constexpr std::pair<const char *, const char *> numbers[] = {
            {"minimum", "minimum"}, {"maximum", "maximum"}, {"minLength", "min_length"}, {"maxLength", "max_length"}};
        for (const auto &[theirs, ours] : numbers)
            if (const json *found = layers.find(theirs); found != nullptr && found->is_number())
                result[ours] = *found;
        if (layers.truth("exclusiveMinimum"))
            result["exclusive_minimum"] = true;
        if (layers.truth("exclusiveMaximum"))
            result["exclusive_maximum"] = true;
        if (const json *values = layers.find("enum"); values != nullptr && values->is_array())
            result["enum"] = *values;
        // A quantity is read by its amount, which says more than its pattern.
        if (const std::string pattern = layers.text("pattern");
            !pattern.empty() && type_of(layers) != FieldSchema::Type::quantity)
            result["pattern"] = pattern;
    }

    const json &schemas_;
    json named_ = json::object();
    size_t nodes_ = 0;
};

} // namespace

json rules_of(const json &schemas, const json &schema) {
    return Writer(schemas).write(schema);
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
