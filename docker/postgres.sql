-- The role of the services, created when Postgres initializes: it can create roles and owns its database, but
-- is not a superuser.
\getenv password DATABASE_PASSWORD
create role enablebot login createrole createdb bypassrls nosuperuser password :'password';
create database enablebot owner enablebot;
