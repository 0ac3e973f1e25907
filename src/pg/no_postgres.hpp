// The last include of every pure file: refuses to compile when a PostgreSQL header leaked in.
#ifdef POSTGRES_H
#error "a pure file includes a PostgreSQL header"
#endif
