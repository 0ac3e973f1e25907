// Schemas of kinds from OpenAPI v3 documents; see the header. Runs in backends and in the mirror worker.
#include "kubernetes/schema/openapi.hpp"

#include "kubernetes/json_access.hpp"
#include "kubernetes/object/nearest.hpp"
#include "kubernetes/schema/schema_layers.hpp"

#include <algorithm>

namespace dbnet::kubernetes {

using nlohmann::json;

FieldSchema::Type type_of(const Layers &layers) {
    using Type = FieldSchema::Type;
    const std::string pattern = layers.text("pattern");
    const bool either = layers.truth("x-kubernetes-int-or-string") || layers.text("format") == "int-or-string" ||
                        layers.refers_to(".intstr.IntOrString");
    // Custom resources describe a quantity as int-or-string with the pattern that all generators use.
    if (layers.refers_to(".resource.Quantity") || (either && pattern.find("KMGTPE") != std::string::npos))
        return Type::quantity;
    if (either)
        return Type::int_or_string;
    const std::string type = layers.text("type");
    if (type == "string")
        return Type::string;
    if (type == "integer")
        return Type::integer;
    if (type == "number")
        return Type::number;
    if (type == "boolean")
        return Type::boolean;
    if (type == "array")
        return Type::array;
    if (type == "object" || layers.find("properties") != nullptr || layers.find("additionalProperties") != nullptr)
        return Type::object;
    return Type::any;
}

std::string format_of(const Layers &layers) {
    return layers.refers_to(".meta.v1.MicroTime") ? "micro-time" : layers.text("format");
}

namespace {

std::optional<double> number(const Layers &layers, const char *key) {
    const json *found = layers.find(key);
    return found != nullptr && found->is_number() ? std::optional(found->get<double>()) : std::nullopt;
}

void describe_list(const Layers &layers, FieldSchema &field) {
    using ListType = FieldSchema::ListType;
    const std::string type = layers.text("x-kubernetes-list-type");
    const std::string strategy = layers.text("x-kubernetes-patch-strategy");
    field.merge_key = layers.text("x-kubernetes-patch-merge-key");
    if (const json *keys = layers.find("x-kubernetes-list-map-keys"); keys != nullptr && keys->is_array())
        for (const json &key : *keys)
            if (key.is_string())
                field.list_keys.push_back(key.get<std::string>());
    // Older built-in types say only how a strategic merge patch joins them; server-side apply goes by the same words.
    const bool merges = type.empty() && strategy.find("merge") != std::string::npos;
    if (field.list_keys.empty() && merges && !field.merge_key.empty())
        field.list_keys.push_back(field.merge_key);
    if (!field.list_keys.empty() && (type == "map" || merges))
        field.list_type = ListType::map;
    else if (type == "set" || merges)
        field.list_type = ListType::set;
    else if (type == "atomic")
        field.list_type = ListType::atomic;
    field.atomic = field.list_type == ListType::atomic || field.list_type == ListType::none;
}

FieldSchema describe(const Layers &layers) {
    FieldSchema field;
    field.type = type_of(layers);
    field.format = format_of(layers);
    field.description = layers.text("description");
    field.minimum = number(layers, "minimum");
    field.maximum = number(layers, "maximum");
    field.nullable = layers.truth("nullable");
    field.read_only =
        layers.truth("readOnly") || field.description.find("Populated by the system. Read-only.") != std::string::npos;
    field.preserve_unknown = layers.truth("x-kubernetes-preserve-unknown-fields") ||
                             layers.refers_to(".runtime.RawExtension") || layers.refers_to(".v1.JSON") ||
                             field.type == FieldSchema::Type::any;
    if (const json *values = layers.find("enum"); values != nullptr && values->is_array())
        for (const json &value : *values)
            if (!value.is_structured())
                field.enumeration.push_back(value.is_string() ? value.get<std::string>() : value.dump());
    if (const json *additional = layers.find("additionalProperties"))
        field.open_map = additional->is_object() || (additional->is_boolean() && additional->get<bool>());
    if (field.type == FieldSchema::Type::array)
        describe_list(layers, field);
    else
        field.atomic = layers.text("x-kubernetes-map-type") == "atomic";
    return field;
}

std::string place(const FieldPath &path, size_t length) {
    const auto &all = path.segments();
    return length == 0 ? "the object" : FieldPath({all.begin(), all.begin() + static_cast<ptrdiff_t>(length)}).text();
}

[[noreturn]] void fail_unknown(const FieldPath &path, size_t depth, const Layers &around, const std::string &name) {
    const std::vector<std::string> names = around.property_names();
    std::string hint;
    for (const std::string &candidate : nearest(name, names, 5))
        hint += (hint.empty() ? "" : ", ") + candidate;
    if (hint.empty())
        hint = place(path, depth) + " has no fields of its own.";
    else
        hint = "The nearest fields of " + place(path, depth) + ": " + hint + '.';
    throw Failure(
        "the path " + path.text() + " does not exist: " + place(path, depth) + " has no field \"" + name + '"', hint);
}

// Why an element chosen by these selectors is no element that server-side apply knows; empty when it is one.
std::string element_problem(const FieldSchema &list, const Segment &segment, const std::string &where) {
    if (list.list_type != FieldSchema::ListType::map)
        return where + " is a list without keys, owned as a whole";
    for (const std::string &key : list.list_keys)
        if (std::none_of(segment.selectors.begin(), segment.selectors.end(),
                         [&](const Selector &selector) { return selector.key == key; }))
            return where + " has elements that are told apart by " + key + " as well";
    for (const Selector &selector : segment.selectors)
        if (std::find(list.list_keys.begin(), list.list_keys.end(), selector.key) == list.list_keys.end())
            return where + " has elements that are not told apart by " + selector.key;
    return {};
}

const json &anything() {
    static const json *const schema = new json(json::object()); // never freed on purpose: no destructor at exit
    return *schema;
}

// A walk down a path. `schema` describes the field reached so far.
struct Walk {
    const json *schema;
    bool required = false;
    std::string not_ownable = {};

    void step(const json &schemas, const FieldPath &path, size_t depth);

private:
    void into_field(const json &schemas, const FieldPath &path, size_t depth, const Layers &layers,
                    const FieldSchema &field);
    void into_element(const json &schemas, const FieldPath &path, size_t depth, const Layers &layers,
                      const FieldSchema &field);
};

void Walk::step(const json &schemas, const FieldPath &path, size_t depth) {
    const Layers layers(schemas, *schema);
    const FieldSchema field = describe(layers);
    if (field.atomic && field.type == FieldSchema::Type::object && not_ownable.empty())
        not_ownable = place(path, depth) + " is owned as a whole";
    if (path.segments()[depth].is_element())
        into_element(schemas, path, depth, layers, field);
    else
        into_field(schemas, path, depth, layers, field);
}

void Walk::into_field(const json &, const FieldPath &path, size_t depth, const Layers &layers,
                      const FieldSchema &field) {
    const std::string &name = path.segments()[depth].name;
    if (field.type != FieldSchema::Type::object && field.type != FieldSchema::Type::any)
        throw Failure("the path " + path.text() + " does not exist: " + place(path, depth) + " is of type " +
                          kubernetes::name(field.type) + ", which has no fields",
                      field.type == FieldSchema::Type::array
                          ? "Choose an element by its fields, for example " + place(path, depth) + "[" +
                                (field.list_keys.empty() ? "name" : field.list_keys.front()) + "=...]."
                          : "");
    required = layers.requires_field(name);
    if (const json *property = layers.property(name)) {
        schema = property;
    } else if (const json *additional = layers.find("additionalProperties"); field.open_map) {
        schema = additional->is_object() ? additional : &anything();
    } else if (field.preserve_unknown) {
        schema = &anything();
    } else {
        fail_unknown(path, depth, layers, name);
    }
}

void Walk::into_element(const json &schemas, const FieldPath &path, size_t depth, const Layers &layers,
                        const FieldSchema &field) {
    const Segment &segment = path.segments()[depth];
    required = false;
    if (field.type == FieldSchema::Type::any && field.preserve_unknown) {
        schema = &anything();
        return;
    }
    if (field.type != FieldSchema::Type::array)
        throw Failure("the path " + path.text() + " does not exist: " + place(path, depth) + " is of type " +
                      kubernetes::name(field.type) + ", not a list");
    const json *items = layers.find("items");
    schema = items != nullptr && items->is_object() ? items : &anything();
    const Layers element(schemas, *schema);
    if (!describe(element).preserve_unknown)
        for (const Selector &selector : segment.selectors)
            if (element.property(selector.key) == nullptr)
                fail_unknown(path, depth, element, selector.key);
    if (not_ownable.empty())
        not_ownable = element_problem(field, segment, place(path, depth));
}

Walk walk(const json &schemas, const json &root, const FieldPath &path) {
    Walk result{&root};
    for (size_t depth = 0; depth < path.segments().size(); ++depth)
        result.step(schemas, path, depth);
    return result;
}

bool is_for(const json &schema, std::string_view group, std::string_view version, std::string_view kind) {
    const json *kinds = array_member(&schema, "x-kubernetes-group-version-kind");
    return kinds != nullptr && std::any_of(kinds->begin(), kinds->end(), [&](const json &entry) {
               return text_member(&entry, "group") == group && text_member(&entry, "version") == version &&
                      text_member(&entry, "kind") == kind;
           });
}

} // namespace

const char *name(FieldSchema::Type type) noexcept {
    switch (type) {
    case FieldSchema::Type::any:
        return "any";
    case FieldSchema::Type::string:
        return "string";
    case FieldSchema::Type::integer:
        return "integer";
    case FieldSchema::Type::number:
        return "number";
    case FieldSchema::Type::boolean:
        return "boolean";
    case FieldSchema::Type::object:
        return "object";
    case FieldSchema::Type::array:
        return "array";
    case FieldSchema::Type::quantity:
        return "quantity";
    case FieldSchema::Type::int_or_string:
        return "int_or_string";
    }
    return "unknown";
}

FieldSchema Schema::at(const FieldPath &path) const {
    const Walk found = walk(document_->schemas, *root_, path);
    FieldSchema field = describe(Layers(document_->schemas, *found.schema));
    field.required = found.required;
    field.not_ownable = found.not_ownable;
    return field;
}

std::vector<std::pair<std::string, FieldSchema>> Schema::children(const FieldPath &path) const {
    const Walk found = walk(document_->schemas, *root_, path);
    std::vector<std::pair<std::string, FieldSchema>> fields;
    for (const std::string &name : Layers(document_->schemas, *found.schema).property_names())
        fields.emplace_back(name, at(path.child(name)));
    return fields;
}

json Schema::rules(const FieldPath &path) const {
    return rules_of(document_->schemas, *walk(document_->schemas, *root_, path).schema);
}

OpenApiDocument OpenApiDocument::parse(std::string_view body) {
    json document = parse_json(body);
    json *schemas = document.is_object() && document.contains("components") && document["components"].is_object()
                        ? &document["components"]
                        : nullptr;
    if (schemas == nullptr || !schemas->contains("schemas") || !(*schemas)["schemas"].is_object())
        throw Failure("the server's answer is no OpenAPI v3 document: " + std::string(body.substr(0, 200)));
    auto parsed = std::make_shared<Schema::Document>();
    parsed->schemas = std::move((*schemas)["schemas"]);
    return OpenApiDocument(std::move(parsed));
}

Schema OpenApiDocument::schema(std::string_view group, std::string_view version, std::string_view kind) const {
    for (const json &candidate : document_->schemas)
        if (is_for(candidate, group, version, kind))
            return Schema(document_, &candidate);
    throw Failure("the server's OpenAPI document does not describe " + std::string(kind) + " of " +
                  (group.empty() ? "" : std::string(group) + '/') + std::string(version));
}

std::string openapi_path(std::string_view index_body, std::string_view group, std::string_view version) {
    const json index = parse_json(index_body);
    const json *paths = member(&index, "paths");
    if (paths == nullptr || !paths->is_object())
        throw Failure("the server's answer is no index of OpenAPI documents: " +
                      std::string(index_body.substr(0, 200)));
    const std::string key =
        group.empty() ? "api/" + std::string(version) : "apis/" + std::string(group) + '/' + std::string(version);
    return text_member(member(paths, key.c_str()), "serverRelativeURL");
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
