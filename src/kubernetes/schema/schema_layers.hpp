// A field's schema as an OpenAPI document spells it, with all it refers to. Private to the files that read schemas.
#pragma once

#include "kubernetes/json_access.hpp"
#include "kubernetes/schema/openapi.hpp"

#include <algorithm>
#include <optional>

namespace dbnet::kubernetes {

struct Schema::Document {
    nlohmann::json schemas; // components.schemas
};

inline constexpr size_t most_layers = 64; // of allOf and $ref around one field
inline constexpr std::string_view schemas_prefix = "#/components/schemas/";

// A field's schema with everything it refers to laid over each other: the outermost comes first and wins. A schema that
// refers to itself is taken once.
class Layers {
public:
    Layers(const nlohmann::json &schemas, const nlohmann::json &schema) { add(schemas, schema); }

    const nlohmann::json *find(const char *key) const {
        for (const nlohmann::json *layer : layers_)
            if (const nlohmann::json *found = member(layer, key))
                return found;
        return nullptr;
    }
    std::string text(const char *key) const {
        const nlohmann::json *found = find(key);
        return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
    }
    bool truth(const char *key) const {
        return std::any_of(layers_.begin(), layers_.end(),
                           [&](const nlohmann::json *layer) { return bool_member(layer, key); });
    }
    // The schema of a declared field.
    const nlohmann::json *property(const std::string &name) const {
        for (const nlohmann::json *layer : layers_)
            if (const nlohmann::json *found = member(member(layer, "properties"), name.c_str()))
                return found;
        return nullptr;
    }
    std::vector<std::string> property_names() const {
        std::vector<std::string> names;
        for (const nlohmann::json *layer : layers_)
            if (const nlohmann::json *properties = member(layer, "properties");
                properties != nullptr && properties->is_object())
                for (const auto &[name, schema] : properties->items())
                    if (std::find(names.begin(), names.end(), name) == names.end())
                        names.push_back(name);
        return names;
    }
    bool requires_field(const std::string &name) const {
        return std::any_of(layers_.begin(), layers_.end(), [&](const nlohmann::json *layer) {
            const std::vector<std::string> names = texts_member(layer, "required");
            return std::find(names.begin(), names.end(), name) != names.end();
        });
    }
    bool refers_to(std::string_view name) const {
        return std::any_of(references_.begin(), references_.end(),
                           [&](const std::string &reference) { return reference.ends_with(name); });
    }

private:
    void add(const nlohmann::json &schemas, const nlohmann::json &schema) {
        if (layers_.size() == most_layers || std::find(layers_.begin(), layers_.end(), &schema) != layers_.end())
            return;
        layers_.push_back(&schema);
        if (const std::string reference = text_member(&schema, "$ref"); reference.starts_with(schemas_prefix)) {
            references_.push_back(reference.substr(schemas_prefix.size()));
            if (const nlohmann::json *target = member(&schemas, references_.back().c_str()))
                add(schemas, *target);
        }
        if (const nlohmann::json *all = array_member(&schema, "allOf"))
            for (const nlohmann::json &part : *all)
                add(schemas, part);
    }

    std::vector<const nlohmann::json *> layers_;
    std::vector<std::string> references_;
};

FieldSchema::Type type_of(const Layers &layers);

// As the document says it, but for what it tells by a reference alone: micro-time (it calls both kinds of time
// date-time).
std::string format_of(const Layers &layers);

// Schema::rules() of the field that `schema` describes.
nlohmann::json rules_of(const nlohmann::json &schemas, const nlohmann::json &schema);

} // namespace dbnet::kubernetes
