-- The role of the services, once, as Postgres initializes: it may make roles and owns its database, and is no superuser.
\getenv password DATABASE_PASSWORD
create role enablebot login createrole createdb bypassrls nosuperuser password :'password';
create database enablebot owner enablebot;
