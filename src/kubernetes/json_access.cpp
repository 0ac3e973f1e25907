// Reading JSON from outside; see the header. Runs in the mirror worker and in backends.
#include "kubernetes/json_access.hpp"

#include <simdjson.h>

namespace dbnet::kubernetes {
namespace {

using nlohmann::json;

constexpr size_t deepest =
    1000; // nested objects and lists; PostgreSQL's jsonb takes more, its default stack not much more

bool is_too_deep(std::string_view text) noexcept {
    size_t depth = 0;
    for (size_t at = 0; at < text.size(); ++at) {
        const char c = text[at];
        if (c == '{' || c == '[') {
            if (++depth > deepest)
                return true;
        } else if (c == '}' || c == ']') {
            depth -= depth > 0 ? 1 : 0;
        } else if (c == '"') {
            for (++at; at < text.size() && text[at] != '"'; ++at)
                at += text[at] == '\\' ? 1 : 0;
        }
    }
    return false;
}

constexpr size_t kept_capacity = 256 * 1024; // bytes of the largest document whose working memory is kept

// Of two members of one name the last counts. Throws nothing but std::bad_alloc; the parser has limited the depth.
json document_of(const simdjson::dom::element &element) {
    using simdjson::dom::element_type;
    switch (element.type()) {
    case element_type::OBJECT: {
        json object = json::object();
        auto &members = object.get_ref<json::object_t &>();
        for (const auto &[key, value] : simdjson::dom::object(element))
            members.insert_or_assign(std::string(key), document_of(value));
        return object;
    }
    case element_type::ARRAY: {
        json array = json::array();
        auto &elements = array.get_ref<json::array_t &>();
        for (const simdjson::dom::element &value : simdjson::dom::array(element))
            elements.push_back(document_of(value));
        return array;
    }
    case element_type::STRING:
        return json(std::string(std::string_view(element)));
    case element_type::INT64: {
        const int64_t number{element};
        return number < 0 ? json(number) : json(static_cast<uint64_t>(number)); // as the other parser has it
    }
    case element_type::UINT64:
        return json(uint64_t{element});
    case element_type::DOUBLE:
        return json(double{element});
    case element_type::BOOL:
        return json(bool{element});
    case element_type::NULL_VALUE:
        break;
    }
    return nullptr;
}

} // namespace

// What simdjson does not take, bad JSON and numbers beyond 64 bits, is read the slow way.
json parse_json(std::string_view text) {
    static simdjson::dom::parser parser;
    simdjson::dom::element root;
    json document(json::value_t::discarded);
    if (text.empty())
        return document;
    if (parser.allocate(std::max(text.size(), parser.capacity()), deepest) == simdjson::SUCCESS &&
        parser.parse(text.data(), text.size()).get(root) == simdjson::SUCCESS)
        document = document_of(root);
    else if (!is_too_deep(text))
        document = json::parse(text, nullptr, false);
    if (parser.capacity() > kept_capacity)
        parser = simdjson::dom::parser();
    return document;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
