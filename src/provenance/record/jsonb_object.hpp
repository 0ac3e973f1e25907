// Writes a flat jsonb object straight in its form on disk (see PostgreSQL's utils/jsonb.h), several times faster than
// by way of JsonbValue trees: names come sorted, values come as bytes. Backends; inside pg::call, may longjmp.
#pragma once

#include "pg/compat.hpp"

extern "C" {
#include "utils/jsonb.h"
#include "utils/numeric.h"
}

namespace dbnet::provenance {

// One member; refers to memory of others.
struct JsonbField {
    enum class Kind : uint8 { null, boolean, string, numeric, container };
    std::string_view name;
    Kind kind = Kind::null;
    bool boolean = false;
    const char *bytes = nullptr; // string, the whole numeric, or a JsonbContainer
    uint32 length = 0;

    void set(std::string_view text) noexcept {
        kind = Kind::string;
        bytes = text.data();
        length = static_cast<uint32>(text.size());
    }
    void set(Numeric number) noexcept {
        kind = Kind::numeric;
        bytes = reinterpret_cast<const char *>(number);
        length = VARSIZE_ANY(number);
    }
    void set(bool value) noexcept {
        kind = Kind::boolean;
        boolean = value;
    }
    void set(const Jsonb *document);
};

// jsonb's order of names: shorter ones first.
inline bool is_before(std::string_view left, std::string_view right) noexcept {
    return left.size() != right.size() ? left.size() < right.size()
                                       : memcmp(left.data(), right.data(), left.size()) < 0;
}

// Of fields in that order, no name twice; palloc'd. Raises 54000 when it would be larger than a jsonb can be.
Jsonb *make_object(const JsonbField *fields, int count);

// The value of a member; null if there is none.
JsonbField member(const Jsonb *object, std::string_view name);

} // namespace dbnet::provenance
