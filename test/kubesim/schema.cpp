// Types of API objects, read from the recorded OpenAPI v3 documents.
#include "schema.hpp"

#include <set>

namespace kubesim {

namespace {

std::string last_part(const std::string &name) {
    return name.substr(name.rfind('.') + 1);
}

std::string kind_key(const std::string &group, const std::string &version, const std::string &kind) {
    return group + "/" + version + "/" + kind;
}

} // namespace

Type *Schemas::fresh() {
    owned_.push_back(std::make_unique<Type>());
    return owned_.back().get();
}

void Schemas::load(const json &document) {
    const json &schemas = document.at("components").at("schemas");
    for (const auto &[name, schema] : schemas.items()) {
        const Type *type = reference("#/components/schemas/" + name, schemas);
        const json *kinds = find(schema, "x-kubernetes-group-version-kind");
        if (!kinds)
            continue;
        for (const auto &kind : *kinds)
            kinds_[kind_key(text_of(kind, "group"), text_of(kind, "version"), text_of(kind, "kind"))] = type;
    }
}

const Type *Schemas::of_kind(const std::string &group, const std::string &version, const std::string &kind) const {
    auto it = kinds_.find(kind_key(group, version, kind));
    return it == kinds_.end() ? nullptr : it->second;
}

const Type *Schemas::reference(const std::string &ref, const json &schemas) {
    std::string name = ref.substr(ref.rfind('/') + 1);
    auto it = named_.find(name);
    if (it != named_.end())
        return it->second;
    Type *type = fresh();
    named_[name] = type; // before filling: schemas may refer to themselves
    type->go_name = last_part(name);
    fill(*type, schemas.at(name), schemas);
    if (const json *pointers = find(pointers_, name))
        for (const auto &field : *pointers)
            type->fields.at(field).pointer = true;
    return type;
}

const Type *Schemas::build(const json &schema, const json &schemas) {
    if (const json *ref = find(schema, "$ref"))
        return reference(ref->get<std::string>(), schemas);
    // The server writes a reference that has a description or default of its own as allOf with one element.
    if (const json *all = find(schema, "allOf"); all && all->size() == 1 && find((*all)[0], "$ref")) {
        const Type *target = reference((*all)[0]["$ref"].get<std::string>(), schemas);
        if (text_of(schema, "x-kubernetes-map-type") != "atomic" || target->atomic)
            return target;
        Type *copy = fresh();
        *copy = *target;
        copy->atomic = true;
        return copy;
    }
    Type *type = fresh();
    fill(*type, schema, schemas);
    return type;
}

void Schemas::fill(Type &type, const json &schema, const json &schemas) {
    std::string kind = text_of(schema, "type");
    std::string format = text_of(schema, "format");
    type.atomic = text_of(schema, "x-kubernetes-map-type") == "atomic";
    if (type.go_name == "Quantity") {
        type.shape = Type::Shape::scalar;
        type.scalar = Type::Scalar::quantity;
    } else if (format == "int-or-string" || schema.value("x-kubernetes-int-or-string", false)) {
        type.shape = Type::Shape::scalar;
        type.scalar = Type::Scalar::int_or_string;
    } else if (kind == "string") {
        type.shape = Type::Shape::scalar;
        type.scalar = format == "byte"              ? Type::Scalar::bytes
                      : type.go_name == "MicroTime" ? Type::Scalar::micro_time
                      : format == "date-time"       ? Type::Scalar::time
                                                    : Type::Scalar::string;
    } else if (kind == "integer") {
        type.shape = Type::Shape::scalar;
        type.scalar = format == "int32" ? Type::Scalar::integer32 : Type::Scalar::integer64;
    } else if (kind == "number") {
        type.shape = Type::Shape::scalar;
        type.scalar = Type::Scalar::number;
    } else if (kind == "boolean") {
        type.shape = Type::Shape::scalar;
        type.scalar = Type::Scalar::boolean;
    } else if (kind == "array") {
        type.shape = Type::Shape::list;
        type.element = build(schema.at("items"), schemas);
        type.patch_strategy = text_of(schema, "x-kubernetes-patch-strategy");
        type.merge_key = text_of(schema, "x-kubernetes-patch-merge-key");
        std::string list_type = text_of(schema, "x-kubernetes-list-type");
        if (const json *keys = find(schema, "x-kubernetes-list-map-keys"))
            type.list_keys = keys->get<std::vector<std::string>>();
        // Without a list type the strategic-merge extensions decide, as in the server's own schema conversion.
        if (list_type.empty() && type.patch_strategy.starts_with("merge")) {
            if (type.merge_key.empty())
                list_type = "set";
            else {
                list_type = "map";
                type.list_keys = {type.merge_key};
            }
        }
        type.list_kind = list_type == "map"   ? Type::ListKind::map
                         : list_type == "set" ? Type::ListKind::set
                                              : Type::ListKind::atomic;
    } else if (const json *properties = find(schema, "properties")) {
        type.shape = Type::Shape::structure;
        type.open = schema.value("x-kubernetes-preserve-unknown-fields", false);
        std::set<std::string> required;
        if (const json *names = find(schema, "required"))
            required = names->get<std::set<std::string>>();
        for (const auto &[name, property] : properties->items()) {
            Field field;
            field.type = build(property, schemas);
            const json *value = find(property, "default");
            // A default that is no zero value (protocol: TCP) is set by the server's defaulting, not by its encoder.
            const bool zero_default = value && (value->empty() || *value == "" || *value == 0 || *value == false);
            const bool null_when_unset = required.contains(name) && !value && field.type->shape != Type::Shape::scalar;
            field.always_written = zero_default || null_when_unset;
            field.pointer = null_when_unset;
            if (value && value->is_primitive())
                field.default_value = *value;
            type.fields[name] = field;
        }
    } else if (const json *element = find(schema, "additionalProperties"); element && element->is_object()) {
        type.shape = Type::Shape::map;
        type.element = build(*element, schemas);
    }
}

} // namespace kubesim
