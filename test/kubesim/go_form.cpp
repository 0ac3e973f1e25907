// What decoding into the API server's Go structs and encoding again does to an object.
#include "go_form.hpp"

#include "errors.hpp"
#include "file.hpp"
#include "quantity.hpp"

#include <cmath>
#include <cstdio>
#include <ctime>

namespace kubesim {

namespace {

using Shape = Type::Shape;
using Scalar = Type::Scalar;

struct Context {
    Decoder decoder;
    std::vector<std::string> *unknown;
    std::string struct_name;
};

std::string json_type(const json &value) {
    if (value.is_string())
        return "string";
    if (value.is_boolean())
        return "bool";
    if (value.is_number())
        return "number";
    return value.is_array() ? "array" : "object";
}

[[noreturn]] void mismatch(const Context &context, const std::string &path, const json &value, const std::string &go) {
    std::string shown = json_type(value);
    if (context.decoder == Decoder::unstructured)
        throw TypeMismatch("cannot convert " + go_type(value) + " to " + go);
    // The number itself is named only where a number was wanted.
    if (value.is_number() && (go == "int32" || go == "int64" || go == "float64"))
        shown += " " + dump(value);
    // Go names the struct and the path inside the document without indexes.
    std::string plain;
    for (size_t i = 0; i < path.size(); i++) {
        if (path[i] == '[')
            i = path.find(']', i);
        else
            plain += path[i];
    }
    throw TypeMismatch("json: cannot unmarshal " + shown + " into Go struct field " + context.struct_name + "." +
                       plain + " of type " + go);
}

std::string go_name(const Type *type) {
    switch (type->shape) {
    case Shape::list:
        return "[]" + go_name(type->element);
    case Shape::map:
        return "map[string]" + go_name(type->element);
    case Shape::structure:
        return "v1." + type->go_name;
    case Shape::any:
        return "interface {}";
    default:
        break;
    }
    switch (type->scalar) {
    case Scalar::string:
        return "string";
    case Scalar::bytes:
        return "[]uint8";
    case Scalar::integer32:
        return "int32";
    case Scalar::integer64:
        return "int64";
    case Scalar::number:
        return "float64";
    case Scalar::boolean:
        return "bool";
    case Scalar::quantity:
        return "resource.Quantity";
    case Scalar::int_or_string:
        return "intstr.IntOrString";
    default:
        return "v1.Time";
    }
}

json zero(const Type *type, const Context &context);
json convert(const Type *type, const json &value, const std::string &path, Context &context);

json convert_integer(const json &value, bool narrow, const std::string &path, Context &context) {
    const char *go = narrow ? "int32" : "int64";
    int64_t integer = 0;
    if (value.is_number_float()) {
        double real = value.get<double>();
        if (real != std::floor(real) || std::fabs(real) > 9.2e18 || context.decoder == Decoder::json)
            mismatch(context, path, value, go);
        integer = static_cast<int64_t>(real);
    } else if (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX) {
        mismatch(context, path, value, go);
    } else if (value.is_number()) {
        integer = value.get<int64_t>();
    } else {
        mismatch(context, path, value, go);
    }
    if (narrow && integer != static_cast<int32_t>(integer)) {
        if (context.decoder == Decoder::json)
            mismatch(context, path, value, go);
        integer = static_cast<int32_t>(integer); // the server's own silent wrap
    }
    return integer;
}

void check_base64(const std::string &text, Decoder decoder) {
    std::string bytes;
    if (base64_decode(text, bytes) && text.size() % 4 == 0)
        return;
    size_t bad = 0;
    while (bad < text.size() &&
           (isalnum(static_cast<unsigned char>(text[bad])) || text[bad] == '+' || text[bad] == '/'))
        bad++;
    throw TypeMismatch(std::string(decoder == Decoder::unstructured ? "error decoding from json: " : "") +
                       "illegal base64 data at input byte " + std::to_string(bad));
}

json convert_scalar(const Type *type, const json &value, const std::string &path, Context &context) {
    switch (type->scalar) {
    case Scalar::string:
        if (!value.is_string())
            mismatch(context, path, value, "string");
        return value;
    case Scalar::bytes:
        if (!value.is_string())
            mismatch(context, path, value, "[]uint8");
        check_base64(value.get<std::string>(), context.decoder);
        return value;
    case Scalar::time:
    case Scalar::micro_time:
        if (!value.is_string())
            mismatch(context, path, value, "Time");
        return canonical_time(value.get<std::string>(), type->scalar == Scalar::micro_time);
    case Scalar::integer32:
        return convert_integer(value, true, path, context);
    case Scalar::integer64:
        return convert_integer(value, false, path, context);
    case Scalar::number:
        if (!value.is_number())
            mismatch(context, path, value, "float64");
        return value;
    case Scalar::boolean:
        if (!value.is_boolean())
            mismatch(context, path, value, "bool");
        return value;
    case Scalar::int_or_string:
        if (!value.is_string() && !value.is_number_integer())
            mismatch(context, path, value, "IntOrString");
        return value;
    case Scalar::quantity: {
        if (!value.is_string() && !value.is_number())
            mismatch(context, path, value, "Quantity");
        std::string canonical;
        if (!canonical_quantity(value.is_string() ? value.get<std::string>() : dump(value), canonical))
            throw TypeMismatch("quantities must match the regular expression "
                               "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
        return canonical;
    }
    }
    return value;
}

json zero(const Type *type, const Context &context) {
    switch (type->shape) {
    case Shape::structure: {
        Context inner = context;
        return convert(type, json::object(), "", inner);
    }
    case Shape::scalar:
        switch (type->scalar) {
        case Scalar::string:
        case Scalar::bytes:
            return "";
        case Scalar::integer32:
        case Scalar::integer64:
        case Scalar::number:
        case Scalar::int_or_string:
            return 0;
        case Scalar::boolean:
            return false;
        case Scalar::quantity:
            return "0";
        default:
            return nullptr; // a zero time
        }
    default:
        return nullptr;
    }
}

bool omitted(const Field &field, const json &value) {
    if (field.always_written)
        return false;
    switch (field.type->shape) {
    case Shape::list:
    case Shape::map:
        return value.empty();
    case Shape::scalar:
        if (field.pointer)
            return false;
        if (value.is_string())
            return value.get_ref<const std::string &>().empty();
        return value == json(false) || value == json(0);
    default:
        return false;
    }
}

json convert_structure(const Type *type, const json &value, const std::string &path, Context &context) {
    std::string outer = context.struct_name;
    if (!type->go_name.empty())
        context.struct_name = type->go_name;
    json out = json::object();
    for (const auto &[name, field] : type->fields) {
        const json *member = find(value, name);
        std::string inner = path.empty() ? name : path + "." + name;
        if (member && !member->is_null()) {
            json converted = convert(field.type, *member, inner, context);
            if (!omitted(field, converted))
                out[name] = std::move(converted);
        } else if (field.always_written) {
            out[name] = field.pointer ? json() : zero(field.type, context);
        }
    }
    if (context.unknown)
        for (const auto &[name, member] : value.items())
            if (!type->fields.contains(name))
                context.unknown->push_back(path.empty() ? name : path + "." + name);
    context.struct_name = outer;
    return out;
}

json convert(const Type *type, const json &value, const std::string &path, Context &context) {
    switch (type->shape) {
    case Shape::any:
        return value;
    case Shape::scalar:
        return convert_scalar(type, value, path, context);
    case Shape::list: {
        if (!value.is_array())
            mismatch(context, path, value, go_name(type));
        json out = json::array();
        for (size_t i = 0; i < value.size(); i++)
            out.push_back(value[i].is_null()
                              ? zero(type->element, context)
                              : convert(type->element, value[i], path + "[" + std::to_string(i) + "]", context));
        return out;
    }
    case Shape::map: {
        if (!value.is_object())
            mismatch(context, path, value, go_name(type));
        json out = json::object();
        for (const auto &[name, member] : value.items())
            out[name] = member.is_null() ? zero(type->element, context) : convert(type->element, member, path, context);
        return out;
    }
    case Shape::structure:
        if (!value.is_object())
            mismatch(context, path, value, go_name(type));
        return convert_structure(type, value, path, context);
    }
    return value;
}

} // namespace

json go_form(const Type *type, const json &value, Decoder decoder, std::vector<std::string> *unknown) {
    Context context{decoder, unknown, type->go_name};
    return convert(type, value.is_null() ? json::object() : value, "", context);
}

std::string canonical_time(const std::string &text, bool micro) {
    // What is left of the time after whole seconds must be six digits.
    if (const size_t rest = std::min<size_t>(19, text.size());
        micro && (text.size() < 26 || text[19] != '.' || text.find_first_not_of("0123456789", 20) != 26))
        throw TypeMismatch("parsing time " + go_quoted(text) +
                           " as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse " + go_quoted(text.substr(rest)) +
                           " as \".000000\"");
    auto fail = [&]() -> TypeMismatch {
        return TypeMismatch("parsing time " + go_quoted(text) + " as \"2006-01-02T15:04:05Z07:00\": cannot parse " +
                            go_quoted(text) + " as \"2006\"");
    };
    tm parts{};
    int used = 0;
    if (sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d%n", &parts.tm_year, &parts.tm_mon, &parts.tm_mday, &parts.tm_hour,
               &parts.tm_min, &parts.tm_sec, &used) != 6 ||
        used != 19)
        throw fail();
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    size_t at = 19;
    std::string fraction;
    if (at < text.size() && text[at] == '.')
        for (at++; at < text.size() && text[at] >= '0' && text[at] <= '9'; at++)
            fraction += text[at];
    long offset = 0;
    std::string zone = text.substr(at);
    int hours = 0, minutes = 0;
    char sign = '+';
    if (zone != "Z") {
        if (zone.size() != 6 || sscanf(zone.c_str(), "%c%2d:%2d", &sign, &hours, &minutes) != 3 ||
            (sign != '+' && sign != '-'))
            throw fail();
        offset = (hours * 60L + minutes) * 60 * (sign == '-' ? -1 : 1);
    }
    time_t seconds = timegm(&parts) - offset;
    tm utc{};
    gmtime_r(&seconds, &utc);
    char out[64];
    strftime(out, sizeof out, "%Y-%m-%dT%H:%M:%S", &utc);
    if (!micro)
        return std::string(out) + "Z";
    fraction.resize(6, '0');
    return std::string(out) + "." + fraction + "Z";
}

} // namespace kubesim
